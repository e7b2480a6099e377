"""What a monitoring says: data that are late or have holes, losses and coverage that chance does not explain, and what it cannot tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.monitoring_checks import MonitoringCheck
from finflow.pipelines.lake.monitorings import Monitorings
from finflow.pipelines.monitoring.data import check_data, monitoring_as_of
from finflow.pipelines.monitoring.performance import check_coverage, check_loss
from finflow.pipelines.monitoring.run import monitor
from finflow.pipelines.monitoring.scored import Scored
from tests.support import tiny_values
from tests.support.pipelines.serving_support import LAST, bars, make_market


def one(checks: list[MonitoringCheck], check: str, subject: str) -> MonitoringCheck:
    return next(found for found in checks if (found.check, found.subject) == (check, subject))


def test_sessions_that_did_not_come_are_counted_by_the_calendar(home: Home) -> None:
    market = make_market(home, bars(last="2017-06-26"))
    on_time = one(check_data(market.context, market.clean("2017-06-26")), "freshness", "sessions behind")
    assert (on_time.value, on_time.alarm) == (0.0, False)
    # 4 July is no session: 27, 28, 29, 30 June, 3 July
    late = one(check_data(market.context, market.clean("2017-07-04")), "freshness", "sessions behind")
    assert (late.value, late.alarm) == (5.0, True)
    assert "the last row is of 2017-06-26" in late.detail
    assert not late.drift, "a training answers no late data"


def test_missing_sessions_are_named_and_missing_rows_counted(home: Home) -> None:
    frame = bars()
    frame = frame[~frame["time"].isin(pd.to_datetime(["2017-06-01", "2017-06-02"]))]
    frame = frame[(frame["entity"] != "BETA") | (frame["time"] != pd.Timestamp("2017-06-14"))]
    market = make_market(home, frame)
    checks = check_data(market.context, market.clean())
    sessions, rows = one(checks, "gaps", "sessions"), one(checks, "gaps", "share of rows")
    assert (sessions.value, sessions.alarm) == (2.0, True)
    assert "2017-06-01 to 2017-06-02" in sessions.detail
    assert rows.value == pytest.approx(7 / 180)
    assert "BETA (3)" in rows.detail
    assert not rows.alarm


def test_what_became_known_later_is_not_there_yet(home: Home) -> None:
    market = make_market(home)
    checks = check_data(market.context, market.clean("2017-05-31"))
    assert "the last row is of 2017-05-31" in one(checks, "freshness", "sessions behind").detail


def test_without_a_calendar_gaps_cannot_be_told(home: Home) -> None:
    market = make_market(home, calendar=None)
    checks = check_data(market.context, market.clean())
    assert [check.status for check in checks] == ["measured", "not measured"]
    assert "no calendar" in checks[1].detail


def test_the_as_of_may_lie_after_the_data_and_not_after_now(home: Home) -> None:
    market = make_market(home)
    now = pd.Timestamp("2017-07-06 12:00", tz="UTC")

    def instant(date: str | None) -> str:
        return monitoring_as_of(open_context(market.definition, home), date, version=0, now=now).isoformat()

    assert instant("2017-05-31") == "2017-05-31T21:00:00+00:00"
    assert instant(LAST) == instant("2017-06-30") == "2017-06-30T21:00:00+00:00"
    assert instant("2017-07-05") == "2017-07-05T21:00:00+00:00"
    assert instant(None) == "2017-07-05T21:00:00+00:00", "the calendar's last session, though the data end before it"
    for wrong in ("2017-07-06", "2016-01-04", "soon"):
        with pytest.raises(FinflowError):
            instant(wrong)


def test_without_a_champion_it_says_so_and_writes_once(home: Home) -> None:
    market = make_market(home)
    found = monitor(open_context(market.definition, home), market.clean())
    missing = [check for check in found.checks if check.status == "not measured"]
    assert [check.part for check in missing] == ["features", "predictions", "loss", "coverage"]
    assert {check.detail for check in missing} == {"there was no champion as of 2017-06-30: finflow train tiny"}
    assert (found.champion, found.alarms, found.drift, found.written) == (None, (), False, len(found.checks))
    again = monitor(open_context(market.definition, home), market.clean())
    assert (again.written, again.key, again.run_id) == (0, found.key, found.run_id)
    rows = Lake(home.lake).read("monitoring/tiny")
    assert len(rows) == len(found.checks)
    last = Monitorings(Lake(home.lake), "tiny").last()
    assert last is not None
    assert (last["as_of"], last["alarms"], last["champion_version"]) == ("2017-06-30T21:00:00+00:00", [], None)


class Somebody:
    """What the checks of performance read of a champion."""

    version, is_reference = 1, False

    class row:
        candidate = "dense"


def scored(loss: np.ndarray, reference: np.ndarray, inside: np.ndarray | None = None) -> Scored:
    """Two entities a date."""
    time = np.repeat(pd.bdate_range("2017-01-02", periods=len(loss)).to_numpy(), 2)
    frame = pd.DataFrame({"time": time, "version": 1, "live": True, "known": True})
    frame = frame.assign(loss=np.repeat(loss, 2), reference=np.repeat(reference, 2))
    if inside is not None:
        frame["coverage_90"] = np.repeat(inside, 2)
    return Scored(frame, np.unique(time), (), {} if inside is None else {"coverage_90": 0.9}, 1, 0, "")


def losses(excess: float, seed: int, dates: int = 250) -> Scored:
    random = np.random.default_rng(seed)
    reference = np.abs(random.normal(size=dates))
    return scored(reference * (1 + excess + random.normal(0, 0.3, dates)), reference)


def definition(**changes: Any) -> Any:
    return parse_definition(tiny_values(**changes))


def test_a_champion_that_loses_to_the_reference_alarms_and_one_that_does_not_seldom() -> None:
    wanted, who = definition(), Somebody()
    worse = [one(check_loss(wanted, who, losses(0.15, seed)), "excess loss", "random-walk") for seed in range(10)]  # type: ignore[arg-type]
    assert sum(check.alarm for check in worse) >= 9
    assert all(check.drift for check in worse if check.alarm)
    assert np.mean([check.value for check in worse]) == pytest.approx(0.15, abs=0.03)
    even = [one(check_loss(wanted, who, losses(0.0, seed)), "excess loss", "random-walk") for seed in range(50)]  # type: ignore[arg-type]
    assert sum(check.alarm for check in even) <= 3
    inside = [check.low <= 0 <= check.high for check in even if check.low is not None and check.high is not None]
    assert sum(inside) >= 43, "the interval holds the truth in about 95 % of all cases"


def test_coverage_alarms_beyond_chance_and_what_matters() -> None:
    wanted, random = definition(), np.random.default_rng(0)
    dates, ones = 250, np.ones(250)
    kept = [check_coverage(wanted, scored(ones, ones, (random.random(dates) < 0.9).astype(float)))[0] for _ in range(50)]
    assert sum(check.alarm for check in kept) <= 3
    broken = check_coverage(wanted, scored(ones, ones, (random.random(dates) < 0.7).astype(float)))[0]
    assert broken.alarm
    assert broken.value is not None
    assert broken.high is not None
    assert broken.high < 0.9
    tolerant = definition(monitoring={"coverage": 0.5})
    assert not check_coverage(tolerant, scored(ones, ones, (random.random(dates) < 0.7).astype(float)))[0].alarm


def test_too_few_known_targets_are_said_to_be() -> None:
    checks = check_loss(definition(), Somebody(), losses(0.0, 1, dates=19))  # type: ignore[arg-type]
    assert [check.status for check in checks] == ["not measured"]
    assert "19 scored sessions have known targets" in checks[0].detail
    assert check_coverage(definition(), losses(0.0, 1, dates=19))[0].status == "not measured"


def test_the_reference_is_not_compared_with_itself() -> None:
    class Reference(Somebody):
        is_reference = True

    mine = scored(np.ones(60), np.full(60, np.nan))
    checks = check_loss(definition(), Reference(), mine)  # type: ignore[arg-type]
    assert [check.status for check in checks] == ["measured", "not measured"]
    assert "the champion is the reference" in checks[1].detail
