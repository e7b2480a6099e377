"""A replay shows what lies before its clock, and reading never moves the clock."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources import ReplaySource

STORED = {"kind": "simulated", "process": "random_walk", "entities": 2, "days": 30, "start": "2018-01-02", "seed": 1}


def replay(**settings: Any) -> ReplaySource:
    return ReplaySource.model_validate({"kind": "replay", "source": STORED, "start": "2018-01-10", **settings})


def last(source: ReplaySource) -> str:
    return str(source.read()["time"].max().date())


def test_until_hides_what_is_later() -> None:
    source = replay(until="2018-01-16")
    assert last(source) == "2018-01-16"
    whole = source.source.read()
    pd.testing.assert_frame_equal(source.read(), whole[whole["time"] <= "2018-01-16"].reset_index(drop=True))


def test_a_clock_file_moves_by_sessions_and_by_hand(tmp_path: Path) -> None:
    source = replay(clock="clock.txt").resolved(tmp_path)
    assert last(source) == "2018-01-10"
    assert source.advance() == datetime.date(2018, 1, 11)
    assert source.advance(2) == datetime.date(2018, 1, 16)  # over a weekend and Martin Luther King Day
    assert last(source) == last(source) == "2018-01-16"
    (tmp_path / "clock.txt").write_text("2018-01-20")
    assert last(source) == "2018-01-19"
    with pytest.raises(SourceError, match="only 17 sessions"):
        source.advance(100)
    (tmp_path / "clock.txt").write_text("soon")
    with pytest.raises(SourceError, match="'soon'"):
        source.read()
    assert sorted(path.name for path in tmp_path.iterdir() if "clock" in path.name) == ["clock.txt"]


def test_time_releases_one_session_after_another() -> None:
    source = replay(began="2026-01-01T00:00:00Z", sessions_per_day=24)
    whole = source.source.read()
    for hours, expected in ((-5, "2018-01-10"), (0.9, "2018-01-10"), (1.1, "2018-01-11"), (4.5, "2018-01-17"), (9_000, "2018-02-13")):
        now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=hours)
        assert str(source._released(whole, now)["time"].max().date()) == expected


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "one clock"),
        ({"until": "2018-01-16", "clock": "c"}, "one clock"),
        ({"until": "2018-01-01"}, "before start"),
        ({"until": "2018-01-16", "source": {"kind": "replay"}}, "no source of kind 'replay'"),
        ({"until": "2018-01-16", "source": {"kind": "csv"}}, "path"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        replay(**settings)


def test_a_replay_without_a_file_cannot_be_advanced() -> None:
    with pytest.raises(SourceError, match="no clock file"):
        replay(until="2018-01-16").advance()
