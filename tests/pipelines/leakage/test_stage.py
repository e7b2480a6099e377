"""The cheap part of the leakage check as a stage: what it finds, of how many rows, and that it is not done twice."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.features.kinds import FEATURES, FeatureKind
from finflow.pipelines.leakage import stage
from finflow.pipelines.leakage.stage import CHECKS, RESULT, check_samples, part_of_rows
from tests.support.pipelines.bars import bars
from tests.support.pipelines.bars import definition as small
from tests.support.pipelines.fit_support import kept_clean, stored

AS_OF = "2016-12-30T22:00:00+00:00"


def asked(home: Home, *features: dict[str, object]) -> tuple[Context, Definition]:
    made = small(features=[{"kind": "log_return", "name": "log_return"}, *features])
    return open_context(made, home), made


def test_an_honest_definition_passes_and_the_result_is_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    context, made = asked(home)
    samples = kept_clean(stored(made, home, bars(300), as_of=AS_OF), home, bars(300))
    found = check_samples(context, samples)
    assert found.passed
    assert [check.name for check in found.checks] == [
        "the future does not change the past",
        "features are as they were known",
        "no column knows the target",
        "a planted future column is caught",
    ]
    assert (Path(samples.folder) / RESULT).is_file()
    monkeypatch.setattr(stage, "CHECKS", ())
    assert check_samples(context, samples) == found, "what was tried on these samples is not tried again"


def test_a_feature_of_ones_own_that_peeks_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    peeks = FeatureKind(lambda panel, feature: np.roll(panel["close"], -1) / panel["close"] - 1.0)
    monkeypatch.setitem(FEATURES, "tomorrow", peeks)
    context, made = asked(home, {"kind": "tomorrow", "name": "tomorrow"})
    samples = kept_clean(stored(made, home, bars(300), as_of=AS_OF), home, bars(300))
    found = {check.name: check for check in check_samples(context, samples).checks}
    assert found["the future does not change the past"].columns == ("tomorrow",)


def test_a_column_that_equals_the_target_is_named(home: Home) -> None:
    frame = bars(300)
    frame["hint"] = frame.groupby("entity")["close"].shift(-1).ffill()
    context, made = asked(home, {"kind": "value", "column": "hint", "name": "hint"})
    samples = kept_clean(stored(made, home, frame, as_of=AS_OF), home, frame)
    report = check_samples(context, samples)
    assert not report.passed
    assert {check.name: check.columns for check in report.checks if not check.passed} == {"no column knows the target": ("hint",)}


def test_of_a_large_table_whole_entities_are_looked_at() -> None:
    frame = bars(100, entities=tuple(f"E{number}" for number in range(50)))
    part = part_of_rows(frame, False, 1, most=1_050)
    assert len(part) == 1_000
    assert set(part.groupby("entity").size()) == {100}
    assert len(part_of_rows(frame[frame["entity"] == "E1"], False, 1, most=60)) == 60
    assert part_of_rows(frame, False, 1) is frame


def test_of_many_independent_rows_the_last_are_looked_at() -> None:
    rows = pd.DataFrame({"entity": [f"R{number}" for number in range(100)], "time": pd.date_range("2015-01-01", periods=100)})
    assert part_of_rows(rows.sample(frac=1.0, random_state=1), True, 1, most=10)["entity"].tolist() == [f"R{n}" for n in range(90, 100)]


def test_a_further_check_is_one_more_name(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    context, made = asked(home)
    samples = kept_clean(stored(made, home, bars(300), as_of=AS_OF), home, bars(300))
    monkeypatch.setattr(stage, "CHECKS", (*CHECKS, lambda seen: stage.LeakageCheck("as known", False, "column a", ("a",))))
    found = check_samples(context, samples)
    assert not found.passed
    assert found.checks[-1].columns == ("a",)


@pytest.mark.slow
def test_a_million_rows_take_seconds(home: Home) -> None:
    frame = bars(1_000, entities=tuple(f"E{number:04d}" for number in range(1_000)))
    context, made = asked(home, {"kind": "rolling_volatility", "window": 20}, {"kind": "weekday_sin"})
    samples = kept_clean(stored(made, home, frame, as_of="2019-12-30T22:00:00+00:00"), home, frame)
    began = time.process_time()
    assert check_samples(context, samples).passed
    assert time.process_time() - began < 30, "about 5 s of one idle core; this machine may be another, and busy"
