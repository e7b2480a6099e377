"""A command whose surroundings are not there says so in one line, and not in a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from finflow.flows.command_line.output import execute
from finflow.flows.servers.diagnostics import diagnose
from finflow.flows.servers.server import free_port
from finflow.pipelines.core.home import Home
from tests.support.patching import replace_everywhere


def broken(home: Home) -> dict[str, Any]:
    raise RuntimeError("deep inside a library")


def outcome_of(monkeypatch: pytest.MonkeyPatch, root: Path, **variables: str) -> BaseException:
    for name in ("FINFLOW_LAKE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.setenv(name, variables.get(name, ""))
    monkeypatch.setenv("FINFLOW_HOME", str(root))
    replace_everywhere(monkeypatch, "finflow.flows.servers.environment.prepare_environment", lambda home: None)
    with pytest.raises((typer.Exit, RuntimeError)) as raised:
        execute(True, broken, lambda outcome: [])
    return raised.value


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert isinstance(outcome_of(monkeypatch, tmp_path / "file" / "home"), typer.Exit)
    said = json.loads(capfd.readouterr().out)
    assert said["ok"] is False
    assert "file/home, cannot be written" in said["error"]
    assert "FINFLOW_HOME" in said["error"]


@pytest.mark.parametrize(("variable", "suffix"), [("PREFECT_API_URL", "/api"), ("MLFLOW_TRACKING_URI", "")])
def test_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], variable: str, suffix: str
) -> None:
    address = f"http://127.0.0.1:{free_port()}{suffix}"
    assert isinstance(outcome_of(monkeypatch, tmp_path, **{variable: address}), typer.Exit)
    assert f"{variable} {address}" in json.loads(capfd.readouterr().out)["error"]


def test_a_fault_of_finflow_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(outcome_of(monkeypatch, tmp_path), RuntimeError)
    assert diagnose(Home(tmp_path, str(tmp_path / "lake"), "sqlite://", None)) is None
