"""A million raw rows through the contract: at most 3 seconds, and its peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.figures import record

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = 1_000_000

# In a process of its own, so that the peak is the contract's: great_expectations is imported and used once before the clock starts.
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.data.contract import validate
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.core.manifests import RawManifest
from tests.support.expectations.bars import bars
from tests.support import tiny_values

root, rows = Path(sys.argv[1]), int(sys.argv[2])
home = Home(root, str(root / "lake"), "sqlite://", None)

def land(name, frame):
    frame["period"] = frame["time"].dt.strftime("%Y").astype("str")
    return RawManifest(f"raw/{name}", Lake(home.lake).append(f"raw/{name}", frame), len(frame), len(frame), "", "")

def definition(name):
    return parse_definition(tiny_values(name=name, contract={"minimum_history": 100}))

as_of = pd.Timestamp("2025-01-01", tz="UTC")
validate(open_context(definition("warm"), home), land("warm", bars()), as_of)

days = sessions("XNYS", "2004-01-01", "2024-12-31").to_numpy().astype("datetime64[us]")[:5000]
frame = bars(tuple(f"E{number:03d}" for number in range(rows // len(days))), days=len(days))
frame["time"] = np.resize(days, len(frame))
frame["known_at"] = (frame["time"] + pd.Timedelta(hours=22)).dt.tz_localize("UTC").dt.as_unit("us")
frame.loc[::50_000, "close"] = np.nan
raw = land("million", frame)
del frame

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
before = resident()
started = time.perf_counter()
manifest = validate(open_context(definition("million"), home), raw, as_of)
first = time.perf_counter() - started
high = [int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")][0]
started = time.perf_counter()
again = validate(open_context(definition("million"), home), raw, as_of)
second = time.perf_counter() - started
assert again == manifest and manifest.quarantined == rows // 50_000, manifest
print(json.dumps({"seconds": first, "seconds_again": second, "peak_megabytes": high, "before_megabytes": before}))
"""


@pytest.mark.benchmark
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux' /proc")
def test_a_million_rows_through_the_contract(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(ROWS)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    record(
        "contract of a million rows",
        seconds=figures["seconds"],
        at_most=3,
        seconds_when_nothing_is_new=figures["seconds_again"],
        peak_megabytes=figures["peak_megabytes"],
        megabytes_before=figures["before_megabytes"],
    )
    assert figures["seconds"] <= 3.0 * 4, "four times the target means that something is broken, however busy the machine"
