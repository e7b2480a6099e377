"""The clock jumps a day in the middle of a training: what the run may know was fixed when it began, and stays."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.calendars import published_at
from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from tests.support import REPOSITORY, Finflow, tiny_values, write_definition

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
COLUMNS = ("time", "entity", "open", "high", "low", "close", "volume")
DAY = pd.Timedelta(days=1)


class Clock:
    """The clock of processes that are started with `environment`: it looks into a file every second.

    It shows the coming noon: not far from the real time, which Prefect's server goes by, and never behind it.
    """

    def __init__(self, file: Path) -> None:
        now = pd.Timestamp.now("UTC")
        self.file, self.started = file, now
        self.noon = now.normalize() + pd.Timedelta(hours=12)
        self.noon += DAY if self.noon <= now else pd.Timedelta(0)
        self.show(self.noon)

    def show(self, instant: pd.Timestamp) -> None:
        """From now on `instant` and what follows it."""
        part = self.file.with_suffix(".part")
        part.write_text(f"{(instant - self.started).total_seconds():+.0f}\n")
        part.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


def run(finflow: Finflow, clock: Clock, *arguments: str, jump_at: str | None = None) -> dict[str, Any]:
    """A command under that clock, which jumps a day as soon as the command has said `jump_at`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "finflow.flows", *arguments, "--json"],
        cwd=REPOSITORY,
        env={**finflow.environment, **clock.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    jumped = threading.Event()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if jump_at is not None and jump_at in line and not jumped.is_set():
                clock.show(clock.noon + DAY)
                jumped.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait(timeout=300) == 0, f"{output}\n{''.join(said)[-9000:]}"
    finally:
        if process.poll() is None:
            process.kill()
        listener.join()
    assert jump_at is None or jumped.is_set(), "the clock never jumped: the test proves nothing"
    found: dict[str, Any] = json.loads(output)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (Debian: apt-get install faketime)")
def test_the_clock_jumps_a_day_during_a_training(finflow: Finflow, home: Home, tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    days = pd.date_range(end=clock.noon.tz_localize(None).normalize(), periods=900)
    source = {"kind": "csv", "path": str(daily(days).pipe(written, tmp_path / "bars.csv")), "columns": {name: name for name in COLUMNS}}
    folds = {"first_test": f"{days[500]:%Y-%m-%d}", "months": 6, "validation_months": 3, "embargo": 2}
    definition = str(write_definition(tmp_path / "tiny.yaml", tiny_values(source=source, simulated=False, calendar=None, folds=folds)))
    yesterday, today = (published_at(None, 60, [day])[0].isoformat() for day in days[-2:])
    during = run(finflow, clock, "train", definition, jump_at="contract met")
    (decided,) = Lake(home.lake).read("promotions/tiny").to_dict("records")
    assert during["as_of"] == decided["effective_as_of"].isoformat() == yesterday
    assert decided["recorded_at"] > clock.noon + pd.Timedelta(hours=23), "the clock did jump for that process"
    after = run(finflow, clock, "validate", definition)
    assert after["as_of"] == today, "a run that begins after the jump knows what was published meanwhile"


def daily(days: pd.DatetimeIndex) -> pd.DataFrame:
    """Bars of two entities on these days."""
    parts = []
    for seed, entity in enumerate(("ALPHA", "BETA")):
        close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, len(days))))
        values = {"open": close, "high": close * 1.003, "low": close * 0.997, "close": close, "volume": 1e5}
        parts.append(pd.DataFrame({"time": days, "entity": entity, **values}))
    return pd.concat(parts, ignore_index=True)


def written(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path
