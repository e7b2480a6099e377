"""Monitoring of rows: categories are watched beside numbers, and drawn where they have a mean."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.samples import Samples
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.monitoring.data import check_data
from finflow.pipelines.monitoring.drift import check_features
from finflow.pipelines.monitoring.plots import draw_monitoring
from finflow.pipelines.monitoring.scored import wanted_sessions
from finflow.pipelines.operating.status import status
from finflow.pipelines.samples.windows import build_samples
from tests.support.pipelines.outcome_models import MODELS
from tests.support.row_support import loan_rows, loan_values, write_loans

DEFINITION = parse_definition(loan_values(Path("none.csv"), **MODELS, monitoring={"sessions": 60, "minimum_dates": 20}))
TRAINED_UNTIL = pd.Timestamp("2021-10-01")


def samples_of(frame: pd.DataFrame) -> tuple[Any, Samples]:
    """What a champion was trained on, and all that is known."""
    trained = build_samples(DEFINITION, frame[frame["time"] < TRAINED_UNTIL].reset_index(drop=True))
    return SimpleNamespace(samples=trained, as_of=TRAINED_UNTIL.tz_localize("UTC")), build_samples(DEFINITION, frame)


def test_undisturbed_rows_raise_no_alarm() -> None:
    checks = check_features(DEFINITION, *samples_of(loan_rows(6000)))
    assert {(one.subject, one.check) for one in checks} == {
        *((name, kind) for name in ("income", "amount") for kind in ("psi", "ks", "shift", "spread")),
        ("purpose", "psi"),
    }
    assert not [one.detail for one in checks if one.alarm]


def test_rows_without_a_time_are_never_late(tmp_path: Path, home: Home) -> None:
    """Applicants of one date, years ago: no session that came since is missing."""
    file = write_loans(tmp_path / "loans.csv", loan_rows(300).assign(time=pd.Timestamp("2001-01-01")))

    def checked(**changes: Any) -> tuple[Any, Any]:
        definition = parse_definition(loan_values(file, **MODELS, **changes))
        as_of = pd.Timestamp("2024-01-01", tz="UTC")
        clean = validate(open_context(definition, home), ingest(open_context(definition, home)), as_of)
        return check_data(open_context(definition, home), clean), status(open_context(definition, home))["data"]["sessions_behind"]

    (late, _), behind = checked()
    assert late.alarm
    assert behind > 5000
    (told,), behind = checked(folds={"kind": "stratified", "parts": 3})
    assert (told.measured, told.alarm, behind) == (False, False, None)
    assert "the rows have no time" in told.detail


@pytest.mark.parametrize("new", ["boat", None])
def test_a_category_that_is_new_or_goes_missing_alarms(tmp_path: Path, new: str | None) -> None:
    frame = loan_rows(6000)
    frame.loc[(frame["time"] > "2021-10-15") & (frame["purpose"] == "car"), "purpose"] = new
    trained, now = samples_of(frame)
    checks = check_features(DEFINITION, trained, now)
    (alarm,) = [one for one in checks if one.alarm]
    assert (alarm.subject, alarm.check) == ("purpose", "psi")
    told = re.search(r"(\d+)% of the values are missing", alarm.detail)
    assert told
    assert (int(told[1]) > 30) == (new is None), "one in twenty is missing, and cars are four in ten"
    result: Any = SimpleNamespace(checks=tuple(checks))
    pages: Any = SimpleNamespace(champion=trained, now=now, scored=None)
    drawn = [path.read_text(encoding="utf-8") for path in draw_monitoring(DEFINITION, result, pages, tmp_path).values()]
    assert len(drawn) == 2
    assert "purpose" in drawn[0]
    assert "purpose" not in drawn[1], "a category has no mean"


def test_predictions_whose_outcomes_take_longer_than_the_sessions_that_count_are_judged() -> None:
    """Of applicants of every day, known a year later, none of the last 60 days could ever have a loss."""
    values = loan_values(Path("none.csv"), **MODELS, monitoring={"sessions": 30, "performance_sessions": 60, "minimum_dates": 20})
    values["problem"]["known_after_days"] = 365
    definition, frame = parse_definition(values), loan_rows(6000)
    last = frame["time"].max()
    now = build_samples(definition, frame, last.tz_localize("UTC"))
    sessions = np.unique(now.observations.time.astype("datetime64[D]"))
    wanted = wanted_sessions(definition, sessions, now)
    known = sessions[sessions <= np.datetime64(last - pd.Timedelta(days=365), "D")]
    assert wanted[0] == known[-60]
    assert wanted[-1] == sessions[-1], "what is not known yet counts for the drift of predictions"
    early = build_samples(definition, frame[frame["time"] < "2020-06-01"], pd.Timestamp("2020-06-01T00:00Z"))
    assert len(wanted_sessions(definition, sessions, early)) == 61, "nothing is known yet"
