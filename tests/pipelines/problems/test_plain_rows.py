"""Samples, folds and losses know nothing of time series: a problem over plain rows goes through them unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Hardware
from finflow.models.zoo import model_class
from finflow.pipelines.definitions.definition import Definition, parse_definition, problem_of
from finflow.pipelines.leakage.check import check_rows
from finflow.pipelines.problems import PROBLEMS
from finflow.pipelines.samples.folds import make_folds, production_fold, select
from finflow.pipelines.samples.windows import build_samples, task_of
from tests.support.plain_rows import PlainRows, plain_values, write_plain_rows

AS_OF = pd.Timestamp("2021-12-31", tz="UTC")


@pytest.fixture
def loans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Definition, pd.DataFrame]:
    monkeypatch.setitem(PROBLEMS, "plain-rows", PlainRows)
    path = write_plain_rows(tmp_path / "loans.csv")
    wanted = parse_definition(plain_values(path))
    return wanted, wanted.source.read()


def test_every_row_is_a_sample_and_its_label_is_known_in_time(loans: tuple[Definition, pd.DataFrame]) -> None:
    wanted, rows = loans
    samples = build_samples(wanted, rows, AS_OF)
    assert len(samples) == len(rows) == len(samples.observations.entities)
    assert samples.columns == ("value_amount", "value_income", "value_age")
    assert samples.gather().shape == (len(rows), 1, 3)
    granted = samples.index.time.astype("datetime64[D]")
    known = granted + np.timedelta64(30, "D") <= np.datetime64("2021-12-31")
    np.testing.assert_array_equal(samples.index.labelled, known)
    assert not known.all(), "the newest loans have no outcome yet"
    assert np.isnan(samples.targets[~known]).all()


def test_folds_purge_by_the_time_an_outcome_takes(loans: tuple[Definition, pd.DataFrame]) -> None:
    wanted, rows = loans
    index = build_samples(wanted, rows, AS_OF).index
    folds = make_folds(wanted, index, AS_OF)
    assert [fold.test_start for fold in folds] == ["2020-07-01", "2021-01-01", "2021-07-01"]
    chosen = select(folds[0], index, 0)
    assert str(index.time[chosen.train].max())[:10] == "2020-03-31", "known after 30 days: on 30 April, the day before validation begins"
    production = select(production_fold(wanted, index, AS_OF), index, 1)
    assert index.label_end[production.validation].max() <= np.datetime64("2021-12-31")


def test_models_learn_from_plain_rows_and_answer_as_rows(loans: tuple[Definition, pd.DataFrame]) -> None:
    wanted, rows = loans
    samples = build_samples(wanted, rows, AS_OF)
    chosen = select(make_folds(wanted, samples.index, AS_OF)[-1], samples.index, 1)
    problem, task = problem_of(wanted), task_of(wanted, samples.columns)
    test = samples.take(chosen.test)
    loss = {}
    for name, recipe in wanted.baselines.items():
        found = model_class(recipe.model)
        model = found(found.Settings.model_validate(recipe.settings), task)
        model.fit(samples.take(chosen.train), samples.take(chosen.validation), seed=0, hardware=Hardware())
        prediction = model.predict(test)
        loss[name] = problem.losses(prediction, test.index)["mae"].mean()
        answer = problem.rows(prediction, test.index, samples.observations.entities)
        assert answer["entity"].tolist() == [samples.observations.entities[code] for code in test.index.entity]
        assert ((answer["target_time"] - answer["time"]).dt.days == 30).all()
        assert (answer["q10"] < answer["q90"]).all()
    assert loss["ridge"] < 0.8 * loss["historical-mean"]


def test_plain_rows_are_checked_for_leaks(loans: tuple[Definition, pd.DataFrame]) -> None:
    wanted, rows = loans
    report = check_rows(wanted, rows, AS_OF)
    assert report.passed, report
    outcome = wanted.features[0].model_copy(update={"column": "loss", "name": "outcome"})
    leaking = wanted.model_copy(update={"features": (*wanted.features, outcome)})
    found = {check.name: check for check in check_rows(leaking, rows, AS_OF).checks}
    assert found["no column knows the target"].columns == ("outcome",)
