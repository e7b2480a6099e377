"""Stratified folds: every row is tested once a repeat, classes are shared out evenly, an entity stays whole, and time folds are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import DefinitionError, NotEnoughHistoryError
from finflow.pipelines.core.manifests import Dealt, Fold, fold_from
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.samples.folds import make_folds, production_fold, select, time_folds
from finflow.pipelines.samples.stratified import deal
from finflow.pipelines.samples.windows import build_samples
from tests.support.row_support import loan_rows, loan_values

AS_OF = pd.Timestamp("2023-01-01T00:00Z")


def rows_without_time(**folds: object) -> Definition:
    values = loan_values(Path("x.csv"), folds={"kind": "stratified", **folds})
    return parse_definition(
        {**values, "candidates": {"majority": {"model": "majority"}}, "baselines": {"base-rate": {"model": "class_frequency"}}}
    )


def index_of(codes: np.ndarray, entity: np.ndarray) -> SampleIndex:
    count = len(codes)
    time = np.full(count, np.datetime64("2000-01-03", "ns"))
    return SampleIndex(
        row=np.arange(count),
        time=time,
        label_start=time,
        label_end=time,
        entity=entity,
        target=codes[:, None].astype(np.float32),
        target_time=time[:, None],
        origin=np.full(count, np.nan),
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(40, 200), st.floats(0.05, 0.5), st.integers(2, 7), st.integers(0, 5))
def test_every_row_once_and_classes_evenly(count: int, rate: float, parts: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    entity = np.sort(random.integers(0, count, count))
    code = (random.random(count) < rate)[entity].astype(float)  # an entity is of one class
    index = index_of(code, entity)
    tested, sizes = [], []
    for part in range(parts):
        train, validation, test = deal(Dealt(parts, part, 0, seed, 0.2), index)
        assert not set(train) & set(validation)
        assert not set(index.entity[test]) & set(index.entity[np.concatenate([train, validation])])
        assert sorted([*train, *validation, *test]) == list(range(count))
        tested += test.tolist()
        sizes.append([len(np.unique(entity[test[code[test] == value]])) for value in (0, 1)])
    assert sorted(tested) == list(range(count))
    assert np.ptp(np.array(sizes), axis=0).max() <= 1


def test_folds_by_definition_and_their_way_to_json() -> None:
    definition = rows_without_time(parts=4, repeats=3)
    samples = build_samples(definition, loan_rows(500).assign(time=pd.Timestamp("2020-01-01")), AS_OF)
    folds = make_folds(definition, samples.index, AS_OF)
    assert [fold.name for fold in folds] == [f"r{repeat}p{part}" for repeat in (1, 2, 3) for part in (1, 2, 3, 4)]
    assert fold_from(folds[5].to_dict()) == folds[5]
    first, again = (select(fold, samples.index, 0).test for fold in (folds[0], folds[4]))
    assert not np.array_equal(first, again), "a repeat deals the rows out anew"
    whole = select(production_fold(definition, samples.index, AS_OF), samples.index, 0)
    assert len(whole.test) == 0
    assert len(whole.train) + len(whole.validation) == samples.index.labelled.sum()
    assert len(whole.validation) == pytest.approx(0.2 * samples.index.labelled.sum(), abs=1)


def test_rows_that_are_not_labelled_are_in_no_part() -> None:
    index = index_of(np.array([0.0, 1.0] * 50), np.arange(100))
    index = replace(index, target=np.where(np.arange(100)[:, None] < 10, np.nan, index.target).astype(np.float32))
    assert min(np.concatenate(deal(Dealt(5, 0, 0, 0, 0.2), index))) == 10


def test_too_few_rows_and_time_that_is_not_there_are_said() -> None:
    definition = rows_without_time()
    with pytest.raises(NotEnoughHistoryError, match=r"fold r1p1 has \d+ training samples \(needs 50\)"):
        make_folds(definition, build_samples(definition, loan_rows(30, days=1), AS_OF).index, AS_OF)
    with pytest.raises(DefinitionError, match=r"which is for rows without a time; these are of \d+ dates, 2020-01-0\d to 2021-12-"):
        make_folds(definition, build_samples(definition, loan_rows(500), AS_OF).index, AS_OF)
    with pytest.raises(DefinitionError, match="its rows have no time"):
        time_folds(definition)
    assert fold_from(Fold("2020", "2019-01-01", "2020-01-01", "2020-12-31").to_dict()).stratified is None


@pytest.mark.parametrize(
    ("folds", "words"),
    [({"kind": "stratified", "months": 3}, r"folds\.months"), ({"kind": "random"}, "folds"), ({"months": 3}, r"folds\.first_test")],
)
def test_wrong_folds_are_named(folds: dict[str, object], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        parse_definition(
            loan_values(
                Path("x.csv"), folds=folds, candidates={"m": {"model": "majority"}}, baselines={"base-rate": {"model": "class_frequency"}}
            )
        )
