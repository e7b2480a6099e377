"""Printed commands run as they stand, whatever name the program was started by."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from finflow.flows.command_line.app import app
from finflow.flows.command_line.output import command_line
from finflow.flows.program import COMMANDS, NAME, as_started, program
from finflow.flows.servers import interfaces
from finflow.pipelines.core.home import Home

RUNNER = CliRunner()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program file in `my project/.venv/bin`, with that project as the working folder and nothing of it on the PATH."""
    path = tmp_path / "my project" / ".venv" / "bin" / NAME
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.chdir(tmp_path / "my project")
    monkeypatch.setenv("PATH", "/nowhere")
    return path


def test_the_commands_are_those_of_the_command_line() -> None:
    assert sorted(COMMANDS) == sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_the_path_that_was_typed_is_printed_again(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [".venv/bin/finflow", "backfill", "my definition.yaml"])
    assert program() == ".venv/bin/finflow"
    assert command_line() == ".venv/bin/finflow backfill 'my definition.yaml'"
    text = "`finflow up` starts this finflow again; then: finflow train x, or finflow check-leakage x. The finflow command."
    assert as_started(text) == (
        "`.venv/bin/finflow up` starts this finflow again; then: .venv/bin/finflow train x, or .venv/bin/finflow check-leakage x. "
        "The finflow command."
    )
    assert as_started(as_started(text)) == as_started(text)
    done = RUNNER.invoke(app, ["history", "index-price"])
    assert done.stdout == "No decision has been made for index-price: .venv/bin/finflow train index-price\n"
    assert ".venv/bin/finflow train index-price" in RUNNER.invoke(app, ["report", "index-price"]).stderr


def test_a_path_with_a_space_is_quoted(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(installed), "list"])
    assert as_started("finflow list") == f"'{installed}' list"


def test_a_program_that_the_shell_finds_has_its_plain_name(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installed.parent))
    monkeypatch.setattr("sys.argv", [str(installed), "list"])
    assert as_started("finflow list") == "finflow list"


@pytest.mark.parametrize("started", ["-c", "/x/flows/__main__.py", "pytest"])
def test_started_otherwise_it_is_called_finflow(started: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [started, "list"])
    assert command_line() == "finflow list"


@pytest.mark.parametrize("command", [["schema"], ["show", "credit-risk"]])
def test_documents_are_printed_to_the_letter(command: list[str], installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RUNNER.invoke(app, command).stdout
    monkeypatch.setattr("sys.argv", [".venv/bin/finflow", *command])
    assert RUNNER.invoke(app, command).stdout == plain


def test_the_version() -> None:
    done = RUNNER.invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.stdout.split()[0] == NAME
    assert done.stdout.split()[1][0].isdigit()


def test_the_uis_take_the_ports_that_people_know_if_these_are_free(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(interfaces, "MLFLOW_PORT", port)
        found = interfaces.addresses_of(home)
        assert found["mlflow"].startswith("http://127.0.0.1:")
        assert found["mlflow"] != f"http://127.0.0.1:{port}"
    assert interfaces.addresses_of(home)["mlflow"] == f"http://127.0.0.1:{port}"


def test_servers_that_are_there_already_are_where_they_are(home: Home) -> None:
    served = replace(home, tracking_uri="http://ann:Secret99@ml.example:5000/", prefect_api="http://127.0.0.1:4200/api")
    assert interfaces.addresses_of(served) == {"mlflow": "http://ml.example:5000", "prefect": "http://127.0.0.1:4200"}
