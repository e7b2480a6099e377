"""The disk is full: one message, nothing by halves, what was there stays readable, and the same command afterwards finishes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.disk import no_space
from finflow.pipelines.core.errors import DiskFullError
from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.samples.store import open_samples, write_samples
from tests.support import Finflow, comparable_state, tiny_values, write_definition
from tests.support.faults.fill_at import fill
from tests.support.pipelines.training_support import Trained

FILL = ("tests/support/faults/fill_at.py",)
TRAIN = ("train", "tiny.yaml", "--as-of", "2017-06-30")
SCORE = ("score", "tiny.yaml", "--as-of", "2017-07-14")

# Where the disk fills up, and how much of it is left then.
PLACES = [
    ("finflow.pipelines.lake.lake:Lake.append", 0),
    ("finflow.pipelines.samples.windows:store_samples", 50_000),
    ("finflow.pipelines.fits.fits:carry_out", 12_000),
    ("finflow.pipelines.evaluation.evaluation:evaluate", 0),
    ("finflow.pipelines.training.tracking:log_training", 0),
    ("finflow.pipelines.registry.versions:register", 30_000),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount a small disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def prices(rows: int = 2_000) -> pd.DataFrame:
    return pd.DataFrame({"entity": ["a"] * rows, "value": np.random.default_rng(0).normal(size=rows), "period": ["2018"] * rows})


@pytest.mark.parametrize("left", [0, 4_096, 8_192, 24_576])
def test_a_table_is_as_it_was_or_whole(left: int, disk: Path) -> None:
    lake = Lake(str(disk / "lake"))
    lake.append("old", prices())
    before = lake.read("old")
    fill(disk, left)
    for table in ("old", "new"):
        with pytest.raises(
            DiskFullError, match=rf"the disk is full: table {table} could not be written; 0\.\d MB are free at .*{table}|/lake"
        ):
            lake.append(table, prices(20_000))
    with pytest.raises(DiskFullError):
        lake.replace("old", prices(20_000), "period = '2018'")
    assert (lake.version("old"), lake.exists("new")) == (0, False)
    pd.testing.assert_frame_equal(lake.read("old"), before)
    (disk / "filler").unlink()
    assert lake.append("old", prices(20_000)) == 1
    assert (len(lake.read("old")), lake.append("new", prices())) == (22_000, 0)


def test_samples_leave_nothing_behind(disk: Path, trained: Trained) -> None:
    samples = open_samples(trained.samples.folder)
    fill(disk, 10_000)
    with pytest.raises(OSError) as raised:
        write_samples(samples, disk / "samples" / "one", {})
    assert no_space(raised.value, "samples") is not None
    assert list((disk / "samples").iterdir()) == []
    (disk / "filler").unlink()
    write_samples(samples, disk / "samples" / "one", {})
    assert len(open_samples(disk / "samples" / "one").index) == len(samples.index)


def test_a_cut_too_large_for_memory_and_disk_is_an_error_and_no_dead_process(disk: Path) -> None:
    from finflow.pipelines.fits.data import _copied

    source = np.zeros((1_000_000, 8), dtype="float32")
    fill(disk, 1_000_000)
    with pytest.raises(OSError) as raised:
        _copied(source, np.arange(1_000_000), disk / "cut.npy")
    assert "the cut could not be written" in str(no_space(raised.value, "the cut"))


def test_every_error_that_says_so_is_known() -> None:
    import sqlite3

    said: list[BaseException] = [
        OSError(28, "No space left on device"),
        OSError(27, "File too large"),
        OSError(122, "Disk quota exceeded"),
        RuntimeError("Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
        OSError("4800 requested and 2016 written"),
    ]
    for error in said:
        assert isinstance(no_space(error, "x"), DiskFullError)
        wrapped = ValueError("deep inside a library")
        wrapped.__cause__ = error
        assert isinstance(no_space(wrapped, "x"), DiskFullError)
    assert no_space(OSError(2, "No such file"), "x") is None
    assert no_space(sqlite3.OperationalError("database is locked"), "x") is None


@pytest.mark.slow
def test_a_training_goes_on_after_the_disk_was_full_at_every_stage(disk: Path, tmp_path: Path, home: Home, prefect_api: str) -> None:
    definition = write_definition(tmp_path / "tiny.yaml", tiny_values())

    def told(*command: str) -> tuple[str, ...]:
        return tuple(str(definition) if part == "tiny.yaml" else part for part in command)

    finflow = Finflow(home, prefect_api)
    finflow.json(*told(*TRAIN))
    finflow.json(*told(*SCORE))
    undisturbed = comparable_state(home, "tiny")
    small = replace(home, root=disk, lake=str(disk / "lake"), tracking_uri=f"sqlite:///{disk / 'mlflow' / 'mlflow.db'}")
    cramped = Finflow(small, prefect_api)
    for place, left in PLACES:
        seen = tables(small)
        done = cramped.run(place, str(left), *told(*TRAIN), "--json", program=FILL)
        said = json.loads(done.stdout)
        assert (done.returncode, said["ok"]) == (1, False), (place, done.stderr[-3000:])
        assert "the disk is full: " in said["error"], (place, said, done.stderr[-3000:])
        assert " MB are free at " in said["error"], (place, said)
        assert "Traceback" not in done.stderr, (place, done.stderr[-3000:])
        assert (disk / "filler").exists()
        now = tables(small)
        assert {name: now[name][: len(rows)] for name, rows in seen.items()} == seen, place
        (disk / "filler").unlink()
    cramped.json(*told(*TRAIN))
    done = cramped.run("finflow.pipelines.lake.predictions:Predictions.append_new", "0", *told(*SCORE), "--json", program=FILL)
    assert (done.returncode, "the disk is full: table predictions/tiny" in done.stdout) == (1, True), done.stdout + done.stderr[-2000:]
    (disk / "filler").unlink()
    cramped.json(*told(*SCORE))
    assert comparable_state(small, "tiny") == undisturbed


def tables(home: Home) -> dict[str, list[Any]]:
    """The versions of every table that there are, all readable."""
    lake, found = Lake(home.lake), {}
    for name in ("raw", "clean", "quarantine", "promotions", "predictions"):
        newest = lake.version(f"{name}/tiny")
        versions = range(0 if newest is None else newest + 1)
        found[name] = [len(lake.read(f"{name}/tiny", version=version)) for version in versions]
    return found
