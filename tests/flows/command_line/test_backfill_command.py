"""The backfill command: mistakes before servers, what it prints, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from finflow.flows.command_line import pages
from finflow.flows.command_line.app import app
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from tests.support import Finflow
from tests.support.patching import replace_everywhere

RUNNER = CliRunner()
RANGE = ("--start", "2017-07-03", "--end", "2017-07-31")
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests themselves run in the background of a shell
import finflow.pipelines.backfill.plan
from tests.support.faults.wrapping import wrap
finflow.pipelines.backfill.plan.CHUNK_DATES = 4
seen = []
def interrupting(original):
    def run_chunk(*given):
        done = original(*given)
        seen.append(done)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return done
    return run_chunk
wrap("finflow.pipelines.backfill.run:run_chunk", interrupting)
from finflow.flows.command_line.app import app
app(args=sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """A command that runs in this process sets variables for its libraries."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("backfill", *RANGE[:2], "--end", "2017-07-32"), "--end '2017-07-32': expected a date"),
        (("backfill", "--start", "2017-07-01", "--end", "2017-07-02"), "no trading day from 2017-07-01"),
        (("backfill", *RANGE, "--only", "some"), "--only 'some'"),
        (("backfill", *RANGE, "--model", "best"), "--model 'best'"),
        (("backfill", *RANGE, "--model", "7"), "version 7 is not in the promotions table"),
        (("backfill", *RANGE, "--retrain", "daily"), "--retrain 'daily'"),
        (("backfill", *RANGE, "--retrain", "monthly", "--model", "as-of"), "give one of the two"),
        (("backfill", *RANGE, "--entity", "NOBODY"), "--entity 'NOBODY': there is no such entity"),
        (("train", "--as-of", "someday"), "as-of 'someday' is no date"),
        (("train", "--as-of", "2100-01-04"), "lies after the last complete session"),
        (("train", "--candidates", "nobody"), "has no candidate nobody"),
        (("train", "--precision", "8-bit"), "--precision '8-bit': expected one of 32-true"),
        (("train", "--accelerator", "abacus"), "accelerator 'abacus' is not known"),
        (("score", "--as-of", "1999-01-04"), "lies before the first session"),
        (("score", "--version", "7"), "version 7 is not in the promotions table"),
    ],
)
def test_a_mistake_is_said_before_a_server_starts(
    arguments: tuple[str, ...], expected: str, tiny_definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_server(home: Home) -> Any:
        raise AssertionError("a server was started")

    replace_everywhere(monkeypatch, "finflow.flows.servers.server.prefect_server", no_server)
    command, *rest = arguments
    done = RUNNER.invoke(app, [command, str(tiny_definition), *rest])
    assert done.exit_code == 1, done.exception
    assert expected in done.stderr


def test_an_entity_that_only_newer_data_have_is_no_mistake(tiny_definition: Path, home: Home) -> None:
    from finflow.pipelines.operating.early_checks import check_backfill

    definition = load_definition(str(tiny_definition))
    ingest(open_context(definition, home))
    lake = Lake(home.lake)
    names = sorted(set(lake.read("raw/tiny")["entity"]))
    lake.replace("raw/tiny", lake.read("raw/tiny", where="1 = 0"), f"entity = '{names[0]}'")
    check_backfill(open_context(definition, home), BackfillRequest("2017-07-03", "2017-07-31", names[0]))


def outcome(mode: str, count: int, **row: Any) -> dict[str, Any]:
    made = {"before": "missing", "after": "done", "rows": 6, "version": 1, "reason": "", **row}
    dates = [{"date": f"2017-01-{day:02d}", **made} for day in range(1, count + 1)]
    return {"mode": mode, "summary": "a line", "dates": dates, "will_run": [one["date"] for one in dates][::-1]}


def test_the_page_shows_what_a_person_needs() -> None:
    assert len(pages.backfill(outcome("run", 25))) == 1
    assert len(pages.backfill(outcome("status", 25))) == 26
    few = outcome("run", 25)
    few["dates"][3] |= {"after": "failed", "reason": "no row of that date"}
    assert pages.backfill(few)[1:] == ["  2017-01-04  missing   -> failed    rows 6  version 1  no row of that date"]
    dry = pages.backfill(outcome("dry-run", 25))[1:]
    assert [line.split()[0] for line in dry] == [f"2017-01-{day:02d}" for day in range(25, 0, -1)], "in the order in which they would run"


@pytest.mark.slow
@pytest.mark.parametrize("active", ["1", "3"])
def test_ctrl_c_prints_the_line_that_goes_on(active: str, finflow: Finflow, home: Home, tiny_definition: Path) -> None:
    finflow.json("train", str(tiny_definition), "--as-of", "2017-06-30")
    command = ("backfill", str(tiny_definition), *RANGE, "--max-active", active)
    stopped = finflow.run(*command, program=("-c", INTERRUPTED))
    assert stopped.returncode == 128 + signal.SIGINT
    assert stopped.stdout == ""
    line = stopped.stderr.strip().splitlines()[-1]
    assert line == f"finflow {' '.join(command)}"
    kept = Lake(home.lake).read("predictions/tiny")
    dates = kept["time"].dt.strftime("%Y-%m-%d").nunique()
    assert 8 <= dates < 20
    assert len(Lake(home.lake).read("ledger/tiny")) == dates
    shown = finflow.json(*command, "--dry-run")
    assert len(shown["will_run"]) == 20 - dates
    done = finflow.run(*line.split()[1:], "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["date"] for one in found["dates"] if one["in_sample"] is not None] == shown["will_run"]
    rows = Lake(home.lake).read("predictions/tiny")
    assert len(rows) == 20 * 4
    assert not rows.duplicated(["entity", "time", "horizon"]).any()
