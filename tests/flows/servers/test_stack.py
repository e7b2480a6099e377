"""Starting, starting again and stopping, with idle processes in the place of servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from finflow.flows.command_line import pages
from finflow.flows.servers import processes as stack_processes
from finflow.flows.servers import stack as under_test
from finflow.flows.servers.plan import NAMES, ROLE, TOKEN, Start
from finflow.flows.servers.processes import descendants, end, flow_runs, port_is_free, spawn
from finflow.flows.servers.stack import check_stack, start_stack, stop_stack
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.processes import is_alive
from finflow.pipelines.core.servers import ServerProcess, Stack, read_stack
from tests.support.patching import replace_everywhere

IDLE = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)"
FAILING = "raise SystemExit(3)"


def idle(name: str, stack: Stack, program: str = IDLE) -> Start:
    return Start(name, (sys.executable, "-S", "-c", program), {**os.environ, TOKEN: stack.token, ROLE: name})


class Fakes:
    """Which program each server is, and what was registered."""

    def __init__(self) -> None:
        self.programs = dict.fromkeys(NAMES, IDLE)
        self.unhealthy: set[str] = set()
        self.registered: list[list[str]] = []

    def plan(self, name: str) -> Any:
        return lambda home, stack, *rest: idle(name, stack, self.programs[name])

    def fail(self, name: str) -> None:
        """From now on this server ends as it starts."""
        self.programs[name] = FAILING
        self.unhealthy.add(name)

    def health(self, stack: Stack, name: str, secrets: object) -> str | None:
        if not stack.server(name).alive:
            return "does not run"
        return "answers 500" if name in self.unhealthy else None

    def register(self, home: Home, names: list[str]) -> dict[str, Any]:
        self.registered.append(names)
        return {"deployments": ["train/tiny"], "automations": []}


@pytest.fixture
def fakes(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    made = Fakes()
    for name in ("FINFLOW_SECURE", "FINFLOW_SERVERS", "FINFLOW_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "http://elsewhere")  # `up` sets them in its process: restored after the test
    for name in NAMES:
        monkeypatch.setattr(under_test, f"plan_{name}", made.plan(name))
    replace_everywhere(monkeypatch, "finflow.flows.servers.processes.health", made.health)
    monkeypatch.setattr(under_test, "_register", made.register)
    yield made
    made.unhealthy.clear()
    stop_stack(home)


def pids(home: Home) -> dict[str, int]:
    kept = read_stack(home.servers)
    assert kept is not None
    return {server.name: server.pid for server in kept.servers}


def ports(home: Home) -> dict[str, int]:
    kept = read_stack(home.servers)
    assert kept is not None
    return {server.name: server.port for server in kept.servers}


def test_started_once_then_left_alone_then_stopped(home: Home, fakes: Fakes, tiny_definition: Path) -> None:
    first = start_stack(home, [str(tiny_definition)])
    assert first["started"] == list(NAMES)
    assert first["elsewhere"] == []
    assert len(set(ports(home).values())) == 3
    before = (home.servers / "stack.json").read_bytes()
    second = start_stack(home, [])
    assert second["started"] == []
    assert (home.servers / "stack.json").read_bytes() == before
    assert fakes.registered == [[str(tiny_definition)], []]
    assert check_stack(home)["ok"]
    running, kept = pids(home), ports(home)
    assert stop_stack(home) == {"ok": True, "stopped": ["worker", "mlflow", "prefect"], "killed": 0}
    assert not [pid for pid in running.values() if psutil.pid_exists(pid)]
    assert stop_stack(home)["stopped"] == []
    assert not check_stack(home)["ok"]
    start_stack(home, [])
    assert ports(home) == kept, "addresses stay"


def test_a_shell_that_points_elsewhere_is_told(home: Home, fakes: Fakes) -> None:
    outcome = start_stack(replace(home, prefect_api="http://elsewhere/api"), [])
    assert outcome["elsewhere"] == ["PREFECT_API_URL"]
    assert [line for line in pages.up(outcome) if "PREFECT_API_URL in this shell" in line]
    outcome = start_stack(replace(home, tracking_uri="http://elsewhere"), [])
    assert outcome["elsewhere"] == ["MLFLOW_TRACKING_URI"]


def test_two_at_once_start_one_of_each(home: Home, fakes: Fakes) -> None:
    with ThreadPoolExecutor(2) as pool:
        started = [found["started"] for found in pool.map(lambda _: start_stack(home, []), range(2))]
    assert sorted(started) == [[], list(NAMES)]
    kept = read_stack(home.servers)
    assert kept is not None
    assert len(descendants(kept)) == 3


@pytest.mark.parametrize("victim", NAMES)
def test_a_killed_one_alone_is_started_again_where_it_was(home: Home, fakes: Fakes, victim: str) -> None:
    start_stack(home, [])
    before, kept = pids(home), ports(home)
    os.kill(before[victim], signal.SIGKILL)
    psutil.Process(before[victim]).wait(10)
    found = check_stack(home)
    assert not found["ok"]
    assert {one["name"]: one["detail"] for one in found["servers"] if not one["healthy"]} == {victim: "does not run"}
    assert start_stack(home, [])["started"] == [victim]
    assert {name for name, pid in pids(home).items() if pid != before[name]} == {victim}
    assert ports(home) == kept


def test_what_a_killed_up_has_started_is_found(home: Home, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It died after a process was there, and before its id was kept."""

    def spawn_and_die(home: Home, start: Start, port: int) -> ServerProcess:
        os._exit(spawn(home, start, port).pid and 9)

    with monkeypatch.context() as patch:
        patch.setattr(under_test, "spawn", spawn_and_die)
        child = os.fork()
        if child == 0:
            start_stack(home, [])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    kept = read_stack(home.servers)
    assert kept is not None
    assert not kept.server("prefect").alive
    (stray,) = descendants(kept)
    assert start_stack(home, [])["started"] == list(NAMES)
    assert not stray.is_running() or stray.status() == psutil.STATUS_ZOMBIE
    assert len(descendants(kept)) == 3


def test_one_that_does_not_answer_is_replaced(home: Home, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    start_stack(home, [])
    before = pids(home)
    fakes.unhealthy.add("mlflow")
    for name in ("_PATIENCE", "START_SECONDS"):
        monkeypatch.setattr(under_test, name, 0.1)
    monkeypatch.setattr(under_test, "spawn", lambda *values: (fakes.unhealthy.clear(), spawn(*values))[1])
    assert start_stack(home, [])["started"] == ["mlflow"]
    assert not psutil.pid_exists(before["mlflow"])


def test_a_start_that_fails_leaves_nothing_and_names_the_log(home: Home, fakes: Fakes) -> None:
    fakes.fail("mlflow")
    with pytest.raises(FinflowError, match=r"MLflow server ended as it started.*mlflow\.log"):
        start_stack(home, [])
    kept = read_stack(home.servers)
    assert kept is not None
    assert descendants(kept) == []
    assert not kept.up
    assert Home.from_environment().root == home.root


def test_a_failed_restart_leaves_the_others_running(home: Home, fakes: Fakes) -> None:
    start_stack(home, [])
    before = pids(home)
    os.kill(before["mlflow"], signal.SIGKILL)
    psutil.Process(before["mlflow"]).wait(10)
    fakes.fail("mlflow")
    with pytest.raises(FinflowError, match="MLflow server"):
        start_stack(home, [])
    after = pids(home)
    assert (after["prefect"], after["worker"]) == (before["prefect"], before["worker"])
    assert psutil.pid_exists(before["prefect"])
    assert psutil.pid_exists(before["worker"])


def test_a_mistake_in_a_definition_is_said_before_anything_starts(home: Home, fakes: Fakes, tmp_path: Path) -> None:
    with pytest.raises(FinflowError, match=r"absent\.yaml"):
        start_stack(home, [str(tmp_path / "absent.yaml")])
    assert not home.servers.exists()


def test_other_settings_want_down_first(home: Home, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    start_stack(home, [])
    monkeypatch.setenv("FINFLOW_SECURE", "1")
    with pytest.raises(FinflowError, match="`finflow down` first"):
        start_stack(home, [])
    stop_stack(home)
    assert start_stack(home, [])["secure"]
    monkeypatch.delenv("FINFLOW_SECURE")
    stop_stack(home)
    assert start_stack(home, [])["secure"], "once secured, it stays so"


def test_a_port_that_a_stranger_took(home: Home, fakes: Fakes) -> None:
    start_stack(home, [])
    kept = ports(home)
    stop_stack(home)
    with socket.create_server(("127.0.0.1", kept["prefect"])):
        assert not port_is_free("127.0.0.1", kept["prefect"])
        start_stack(home, [])
        assert ports(home)["prefect"] != kept["prefect"]
        assert ports(home)["mlflow"] == kept["mlflow"]
        stop_stack(home)
        (home.root / "servers.yaml").write_text(f"prefect_port: {kept['prefect']}\n")
        with pytest.raises(FinflowError, match=f"Port {kept['prefect']}"):
            start_stack(home, [])


def test_down_leaves_no_process_whoever_its_parent_was(home: Home, fakes: Fakes) -> None:
    """A flow run under the worker, and one whose worker was killed."""
    fakes.programs["worker"] = PARENT
    start_stack(home, [])
    orphan = wait_for_children(pids(home)["worker"])
    os.kill(pids(home)["worker"], signal.SIGKILL)
    psutil.Process(pids(home)["worker"]).wait(10)
    start_stack(home, [])
    child = wait_for_children(pids(home)["worker"])
    assert psutil.pid_exists(orphan), "a flow run outlives its worker, and the next `up`"
    kept = read_stack(home.servers)
    assert kept is not None
    assert sorted(process.pid for process in flow_runs(kept)) == sorted((orphan, child))
    stop_stack(home)
    assert descendants(kept) == []
    assert not [pid for pid in (orphan, child) if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def wait_for_children(pid: int) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        children = psutil.Process(pid).children()
        if children and children[0].environ():
            return int(children[0].pid)
        time.sleep(0.02)
    raise AssertionError(f"{pid} has no child")


def test_what_does_not_end_when_asked_is_killed() -> None:
    processes = [subprocess.Popen([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE) for program in (IDLE, STUBBORN)]
    try:
        assert processes[1].stdout is not None
        processes[1].stdout.readline()
        assert end([psutil.Process(process.pid) for process in processes], grace=0.5) == 1
        assert not [process.pid for process in processes if psutil.pid_exists(process.pid)]
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def test_only_what_carries_the_token_is_found(home: Home) -> None:
    home.servers.mkdir(parents=True)
    ours, other = (
        Stack(token, True, False, "127.0.0.1", None, tuple(ServerProcess(name, 1) for name in NAMES)) for token in ("ours", "other")
    )
    started = [spawn(home, idle("mlflow", stack), 1) for stack in (ours, other)]
    try:
        assert [process.pid for process in descendants(ours)] == [started[0].pid]
        assert descendants(ours, "prefect") == []
        assert stack_processes.log_of(home, "mlflow").stat().st_mode & 0o777 == 0o600
    finally:
        for process in started:
            assert is_alive(process.pid, process.created)
            end([psutil.Process(process.pid)])
