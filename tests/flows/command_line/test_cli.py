"""The command line: one JSON object or a page, errors in one line, nothing else on standard output."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finflow.flows.command_line import commands, pages
from finflow.flows.command_line.app import app, main
from finflow.flows.command_line.leaderboard import leaderboard_lines

RUNNER = CliRunner()


def test_every_command_has_its_work_and_its_page() -> None:
    import re

    text = Path(commands.__file__).with_name("app.py").read_text(encoding="utf-8")
    named = re.findall(r'_run\(json, "(\w+)"', text)
    assert len(named) == len(app.registered_commands)
    for name in named:
        assert callable(getattr(commands, name))
        assert callable(getattr(pages, name))


@pytest.mark.parametrize("arguments", [["train"], ["score", "demo-signal", "--nope"], ["train", "demo-signal", "--devices", "0"]])
def test_a_mistake_in_the_command_line_itself_is_an_object_too(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["finflow", *arguments, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["ok"] is False
    assert json.loads(said.out)["error"] in said.err


def test_list_show_and_schema_as_json() -> None:
    listed = json.loads(RUNNER.invoke(app, ["list", "--json"]).stdout)
    assert {"index-price", "demo-signal", "textbook-price"} <= {row["name"] for row in listed["definitions"]}
    shown = json.loads(RUNNER.invoke(app, ["show", "index-price", "--json"]).stdout)
    assert shown["definition"]["window"] == {"length": 60, "horizon": 5, "maximum_gap": 5}
    schema = json.loads(RUNNER.invoke(app, ["schema", "--json"]).stdout)["schema"]
    assert {"source", "problem", "folds", "candidates"} <= set(schema["properties"])
    references = {text.removeprefix("#/$defs/") for text in re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema))}
    assert references <= set(schema["$defs"]), "every reference leads somewhere"


@pytest.mark.parametrize("arguments", [["show", "nobody"], ["train", "../x"], ["score", "nowhere.yaml"], ["history", "a\nb"]])
def test_a_mistake_ends_in_one_line(arguments: list[str]) -> None:
    done = RUNNER.invoke(app, arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("finflow: ")
    assert done.stderr.count("\n") == 1
    as_json = RUNNER.invoke(app, [*arguments, "--json"])
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["ok"] is False


def test_a_definition_that_was_never_trained(tmp_path: Path) -> None:
    assert "finflow train index-price" in RUNNER.invoke(app, ["history", "index-price"]).stdout
    done = RUNNER.invoke(app, ["report", "index-price"])
    assert done.exit_code == 1
    assert "finflow train index-price" in done.stderr


def test_a_long_reason_in_the_history_is_wrapped() -> None:
    reason = "lstm does not beat random-walk: its loss changes by -0.13 % with p 0.301, as of 2015-12-31. " * 4
    row = {"recorded_at": "2015-12-31T22:00:00+00:00", "verdict": "reference", "candidate": "random-walk", "version": 1, "reason": reason}
    text = "\n".join(pages.history({"decisions": [{**row, "effective_as_of": "2015-12-31T21:00:00+00:00"}] * 2, "waiting": None}))
    assert max(map(len, text.splitlines())) <= 140
    assert len(text.splitlines()) == 2 * 4, "a head and three lines of reason each"
    assert text.startswith("2015-12-31T22:00:00  reference      random-walk        version 1    as of 2015-12-31\n    lstm does not")
    assert " ".join(text.split()).count(reason.strip()) == 2


def test_the_leaderboard_shows_what_is_not_finite() -> None:
    row = {"candidate": "lstm", "family": "recurrent", "baseline": False, "metrics": {"mae": None}, "effect": {}, "p_value": {}}
    base = {"candidate": "walk", "family": "walk", "baseline": True, "effect": {}, "p_value": {}}
    base["metrics"] = {"mae": {"value": 0.01, "low": 0.009, "high": 0.011}}
    lines = leaderboard_lines({"leaderboard": [row, base], "loss": "mae"})
    assert any("lstm *" in line and "not finite" in line for line in lines)
    assert any("0.01000 [0.00900, 0.01100]" in line for line in lines)


def training_outcome(candidates: int, baselines: int) -> dict[str, object]:
    """A training as long as the shipped ones: every candidate against every baseline, and a reason of 420 characters."""
    names = [f"baseline-{number}" for number in range(baselines)]
    metric = {"value": 0.01, "low": 0.009, "high": 0.011}
    rows = [
        {
            "candidate": name,
            "family": "historical mean",
            "baseline": name in names,
            "metrics": {"mae": metric},
            "effect": dict.fromkeys(names, -0.01),
            "p_value": dict.fromkeys(names, 0.0001),
        }
        for name in [*names, *(f"candidate-{number}" for number in range(candidates))]
    ]
    return {
        "title": "A title",
        "simulated": True,
        "as_of": "2017-12-29T22:00:00+00:00",
        "data": {"rows": 9560, "quarantined": 0},
        "samples": 9402,
        "folds": [{}] * 5,
        "loss": "mae",
        "leaderboard": rows,
        "waiting": None,
        "decision": {"verdict": "promoted", "reason": "words of a reason " * 24},
        "fitted": 60,
        "reused": 0,
        "failed": {},
        "report": "reports/x.html",
    }


def test_the_demo_ends_in_under_forty_lines() -> None:
    scored = {
        "definition": "index-price",
        "as_of": "2018-12-31",
        "rows": 10,
        "version": 1,
        "written": 10,
        "in_sample": 0,
        "table_version": 0,
    }
    outcome = {"index_price": training_outcome(4, 4), "demo_signal": training_outcome(2, 4), "score": scored}
    outcome |= {"backfill": {"summary": "251 trading days"}, "fitted": 100, "reused": 0, "written": 2510, "seconds": 170.0}
    lines = "\n".join(pages.demo(outcome)).splitlines()
    assert len(lines) < 40
    text = "\n".join(lines)
    for needed in (
        "validated",
        "windows",
        "fits done",
        "vs baseline-0",
        "p<0.001",
        "PROMOTED",
        "report:",
        "make ui",
        "finflow init",
        "SIMULATED",
    ):
        assert needed in text, needed


def test_a_terminated_command_ends_what_it_started_and_says_how_to_go_on(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from finflow.flows.command_line.output import execute\n"
        "def work(home):\n"
        "    try:\n"
        "        Path(sys.argv[1]).write_text('began'); time.sleep(60)\n"
        "    finally:\n"
        "        Path(sys.argv[1]).write_text('ended')\n"
        "execute(True, work, lambda outcome: [])\n"
    )
    mark = tmp_path / "mark"
    process = subprocess.Popen([sys.executable, "-c", program, str(mark)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not mark.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert mark.read_text() == "ended"
    assert "goes on from here" in json.loads(out)["error"]
