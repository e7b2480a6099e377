"""How a worker starts: first what was missed is superseded, then the process becomes Prefect's worker."""

from __future__ import annotations

import os
import sys

import pytest

from finflow.flows.deployments.plan import POOL_TYPE
from finflow.flows.runs import POOL
from finflow.flows.servers import worker
from finflow.flows.servers.plan import NAMES, plan_worker
from finflow.flows.servers.server import free_port
from finflow.flows.servers.settings import ServerSettings
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import ServerProcess, Stack
from tests.support.patching import replace_everywhere


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What a start does, in order. The environment is as it was afterwards."""
    found: list[object] = []
    monkeypatch.setattr(os, "environ", dict(os.environ))
    replace_everywhere(monkeypatch, "finflow.flows.runs.missed_runs.supersede_missed", lambda: found.append("superseded") or 39)
    monkeypatch.setattr(os, "execv", lambda path, command: found.append(command))
    return found


def test_missed_runs_are_superseded_before_the_worker_asks_for_any(done: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["PREFECT_API_URL"] = "http://127.0.0.1:1/api"
    worker.main(["--limit", "4"])
    first, command = done
    assert first == "superseded"
    assert isinstance(command, list)
    assert command[:5] == [sys.executable, "-m", "prefect", "worker", "start"]
    assert command[command.index("--pool") + 1] == POOL
    assert command[command.index("--type") + 1] == POOL_TYPE
    assert command[-2:] == ["--limit", "4"]
    assert capsys.readouterr().err == "finflow: 39 missed runs superseded\n"


def test_without_a_server_it_says_what_to_do(
    done: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ.pop("PREFECT_API_URL", None)
    assert worker.main([]) == 1
    assert "start one with `finflow up`, or set PREFECT_API_URL" in capsys.readouterr().err
    address = f"http://127.0.0.1:{free_port()}/api"
    os.environ["PREFECT_API_URL"] = address

    def unreachable() -> int:
        raise ConnectionError("refused")

    replace_everywhere(monkeypatch, "finflow.flows.runs.missed_runs.supersede_missed", unreachable)
    assert worker.main([]) == 1
    assert f"no Prefect server answers at PREFECT_API_URL {address}" in capsys.readouterr().err
    assert done == []


def test_up_starts_its_worker_so(home: Home) -> None:
    stack = Stack("token", False, False, "127.0.0.1", None, tuple(ServerProcess(name, 4000) for name in NAMES))
    command = plan_worker(home, stack, ServerSettings(), None).command
    assert command[:3] == (sys.executable, "-m", "finflow.flows.servers.worker")
