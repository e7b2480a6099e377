"""Real servers for tests: a home with `finflow up`, its processes, and what its Prefect server knows of runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import Stack, read_stack
from tests.support import Finflow


def wait_for(what: str, found: Callable[[], Any], seconds: float, pause: float = 0.02) -> Any:
    """What `found` returns once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


@dataclass
class Site:
    """A home whose servers `finflow up` started."""

    home: Home
    finflow: Finflow
    definitions: list[Path]

    def up(self) -> dict[str, Any]:
        """Start what does not run."""
        return self.finflow.json("up", *map(str, self.definitions))

    def down(self) -> None:
        self.finflow.json("down")

    @property
    def stack(self) -> Stack:
        found = read_stack(self.home.servers)
        assert found is not None
        return found

    def served_home(self) -> Home:
        """The home with the addresses of its servers."""
        return Home(self.home.root, self.home.lake, self.stack.address("mlflow"), self.stack.prefect_api)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The Prefect API's answer."""
        import urllib.error
        import urllib.request

        request = urllib.request.Request(f"{self.stack.prefect_api}/{path}", data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        for wait in (0.5, 1.0, 2.0, 4.0, 8.0, None):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503 or wait is None:  # 503: SQLite was locked, nothing was done; Prefect's own client tries again, too
                    raise
                time.sleep(wait)
        raise AssertionError("unreachable")

    def request(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Ask for a run of a deployment (flow/name); its id."""
        found = self.ask(f"deployments/name/{deployment}")
        return str(self.ask(f"deployments/{found['id']}/create_flow_run", {"parameters": parameters})["id"])

    def state(self, run: str) -> str:
        """The type of a run's state: SCHEDULED, RUNNING, COMPLETED, FAILED, CRASHED ..."""
        return str(self.ask(f"flow_runs/{run}")["state_type"])

    def settled(self, run: str, seconds: float) -> str:
        """The state that a run ends in."""
        final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        return str(wait_for(f"run {run} in a final state", lambda: self.state(run) in final and self.state(run), seconds, 1.0))

    def open_runs(self) -> list[str]:
        """Names of the runs that have begun and not ended."""
        wanted = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
        return [run["name"] for run in self.ask("flow_runs/filter", wanted)]

    def taken_slots(self) -> int:
        """Concurrency slots that somebody holds."""
        return sum(int(limit["active_slots"]) for limit in self.ask("v2/concurrency_limits/filter", {"limit": 200}))

    def flow_process(self, run: str) -> int:
        """The id of the process of a flow run that the worker carries out."""
        import psutil

        def found() -> int:
            for child in psutil.Process(self.stack.server("worker").pid).children(recursive=True):
                try:
                    if child.environ().get("PREFECT__FLOW_RUN_ID") == run and "prefect.engine" in child.cmdline():
                        return int(child.pid)
                except psutil.Error:
                    continue  # it has ended
            return 0

        return int(wait_for("the flow run's process", found, 150))

    def forget_fits(self) -> None:
        """So that the next training has fits to do."""
        shutil.rmtree(self.home.fits, ignore_errors=True)


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
