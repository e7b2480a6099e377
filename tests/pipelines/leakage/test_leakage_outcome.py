"""Columns that alone say too much about an outcome: the length of a call, a copy with noise; and honest columns that are left in peace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.leakage.check import check_rows
from finflow.pipelines.leakage.data import worlds_without_future
from finflow.pipelines.leakage.models import deal_labels, peeking_candidates
from finflow.pipelines.leakage.outcome import single_areas, telling_columns
from finflow.pipelines.samples.windows import build_samples, task_of
from tests.support.patching import replace_everywhere
from tests.support.row_support import loan_rows, loan_values

AS_OF = pd.Timestamp("2023-01-01T00:00Z")


def loans(**problem: object) -> Definition:
    values = loan_values(Path("x.csv"))
    values["features"] = [*values["features"], {"kind": "value", "column": "late", "name": "late"}]
    values["problem"] = {**values["problem"], **problem}
    return parse_definition(values)


def with_late(noise: float) -> pd.DataFrame:
    frame = loan_rows(2000)
    random = np.random.default_rng(1)
    return frame.assign(late=frame["defaulted"] + random.normal(0, noise, len(frame)) if noise < 9 else random.normal(size=len(frame)))


@pytest.mark.parametrize(("noise", "words"), [(0.1, "it holds the outcome"), (0.7, "is it known before the outcome?"), (9.0, None)])
def test_a_column_is_named_by_what_it_alone_says(noise: float, words: str | None) -> None:
    found = telling_columns(loans(), build_samples(loans(), with_late(noise), AS_OF), seed=0)
    assert list(found) == ([] if words is None else ["late"])
    assert words is None or words in found["late"]


def test_somebody_may_vouch_for_a_column() -> None:
    vouched = loans(known_before=["late"])
    assert telling_columns(vouched, build_samples(vouched, with_late(0.7), AS_OF), seed=0) == {}


def test_areas_are_those_of_columns_by_themselves() -> None:
    frame = with_late(9.0)
    areas = single_areas(loans(), build_samples(loans(), frame, AS_OF), seed=0)
    assert set(areas) == {"amount", "income", "age", "late", "purpose", "region"}
    assert areas["region"] == pytest.approx(0.5, abs=0.05)
    assert areas["purpose"] > 0.58, "a category counts by the rates of its values"
    assert single_areas(loans(), build_samples(loans(), frame.assign(defaulted=0.0), AS_OF), seed=0) == {}


def test_the_length_of_a_call_is_known_when_it_is_over(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINFLOW_BANK_MARKETING", str(shared_data / "bank_marketing" / "bank-additional-full.csv.gz"))
    shipped = load_definition("customer-propensity")
    frame = shipped.source.read()
    assert telling_columns(shipped, build_samples(shipped, frame), seed=0) == {}
    values = shipped.model_dump(mode="json")
    values["problem"]["afterwards"] = []
    values["features"].append({"kind": "value", "column": "duration", "name": "duration"})
    careless = parse_definition(values)
    assert list(telling_columns(careless, build_samples(careless, frame), seed=0)) == ["duration"]


def test_generated_rows_of_the_rare_class_pass() -> None:
    boosting = {"model": "boosting", "settings": {"rounds": 10, "augmentation": {"share": 1.0}}}
    wanted = parse_definition(loan_values(Path("x.csv"), candidates={"boosting": boosting}))
    found = check_rows(wanted, loan_rows(1500), AS_OF)
    assert [(check.name, check.detail) for check in found.checks if not check.passed] == []


def test_dealt_labels_have_the_same_share_at_all_times() -> None:
    samples = build_samples(loans(), with_late(9.0), AS_OF)
    found = deal_labels(samples, seed=3)
    before, after = samples.targets[:, 0], found.targets[:, 0]
    known = samples.index.labelled
    np.testing.assert_array_equal(np.sort(before[known]), np.sort(after[known]))
    np.testing.assert_array_equal(before[~known], after[~known])
    in_time = after[known][np.argsort(samples.index.time[known], kind="stable")]
    shares = [block.mean() for block in np.array_split(in_time, 10)]
    assert max(shares) - min(shares) < 0.03
    assert abs(np.corrcoef(before[known], after[known])[0, 1]) < 0.1
    assert not np.array_equal(deal_labels(samples, seed=4).targets, found.targets)


def test_what_cannot_be_tried_without_a_time_has_not_passed() -> None:
    from finflow.flows.command_line.pages import check_leakage

    values = loan_values(Path("x.csv"), folds={"kind": "stratified", "parts": 3})
    values["problem"]["known_after_days"] = 0
    frame = loan_rows(900).assign(time=pd.Timestamp("2020-01-01"))
    found = check_rows(parse_definition(values), frame, AS_OF)
    assert found.passed
    assert [(check.passed, check.tried) for check in found.checks] == [(False, False), (True, True), (True, True), (True, True)]
    lines = check_leakage({"ok": True, "columns": [], "checks": [check.to_dict() for check in found.checks]})
    assert lines[0].startswith("not tried  the future does not change the past: the rows have no time")
    assert lines[-1] == "No leakage was found."


def test_an_autoencoder_before_the_network_is_fitted_briefly_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    from finflow.models.row_networks import supervised

    epochs: list[int] = []
    whole = supervised.fit_encoder

    def watched(*arguments: Any, **options: Any) -> Any:
        epochs.append(arguments[1].epochs)
        return whole(*arguments, **options)

    replace_everywhere(monkeypatch, "finflow.models.row_networks.reduced.fit_encoder", watched)
    values = loan_values(Path("x.csv"))
    dense = {"model": "tabular_dense", "settings": {"hidden": [8], "reduced": {"units": 3}}}
    values |= {"candidates": {"dense": dense}, "baselines": {"base-rate": {"model": "class_frequency"}}}
    wanted, frame = parse_definition(values), loan_rows(800)
    samples = build_samples(wanted, frame)
    world = worlds_without_future(wanted, frame, np.datetime64("2021-03-01"), 0)[0]
    assert peeking_candidates(wanted, samples, world, task_of(wanted, samples.columns)) == {}
    assert epochs == [1, 1]
