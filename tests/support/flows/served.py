"""A real Prefect server as finflow runs it, and a worker, for the tests of schedules and alerts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from finflow.flows.servers.server import free_port, listening_socket
from finflow.pipelines.core.database_templates import begin_from_template, keep_as_template
from finflow.pipelines.core.home import Home
from tests.support import REPOSITORY, warm

Found = TypeVar("Found")


_OURS = ("PREFECT_", "FINFLOW_", "MLFLOW_")


class Served:
    """A server over a home. Programs and commands run in processes of their own: Prefect reads its settings once a process."""

    def __init__(self, home: Home, port: int, log: Path) -> None:
        self.home = home
        self.api = f"http://127.0.0.1:{port}/api"
        self.log = log
        self.environment = {
            **{name: value for name, value in os.environ.items() if name == "FINFLOW_CACHE" or not name.startswith(_OURS)},
            "FINFLOW_HOME": str(home.root),
            "PREFECT_HOME": str(home.prefect),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
            "PYTHONPATH": str(REPOSITORY),
        }

    def post(self, path: str, body: Any = None) -> Any:
        """What the API answers to a POST."""
        return self._ask("POST", path, {} if body is None else body)

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def patch(self, path: str, body: Any) -> None:
        self._ask("PATCH", path, body)

    def runs(self) -> list[dict[str, Any]]:
        """Every flow run, by the time it is planned for."""
        found: list[dict[str, Any]] = self.post("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC"})
        return found

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/deployments/name/{name}")
        return found

    def python(self, program: str, *arguments: str, **more: str) -> str:
        """What a program prints; it must succeed."""
        done = warm.run([sys.executable, "-c", program, *arguments], cwd=REPOSITORY, env={**self.environment, **more}, timeout=240)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
        return done.stdout

    def register(self, *names: str, **more: str) -> dict[str, list[str]]:
        """Deployments and automations, as `finflow up` applies them; by default no webhook."""
        found: dict[str, list[str]] = json.loads(self.python(REGISTER, *names, **{"FINFLOW_ALERT_WEBHOOK": "", **more}).splitlines()[-1])
        return found

    def emit(self, *events: tuple[str, dict[str, str], dict[str, Any]]) -> None:
        """Events, as flows would send them: name, resource (its labels), payload."""
        self.python(EMIT, json.dumps(events))

    @contextmanager
    def worker(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of the pool `finflow`, for the time of the block."""
        command = [sys.executable, "-m", "finflow.flows.servers.worker", *options]
        environment = {**self.environment, "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_WEBSERVER_PORT": str(free_port())}
        with (self.log.parent / "worker.log").open("ab") as stream:
            process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=stream, stderr=stream, start_new_session=True)
        try:
            yield process
        finally:
            _stop(process)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data=data, method=method, headers={"Content-Type": "application/json"})
        for wait in (0.5, 1.0, 2.0, 4.0, None):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != 503 or wait is None:  # 503: SQLite was locked; Prefect's own client tries again, too
                    raise
                time.sleep(wait)
            except TimeoutError:
                if (method == "POST" and not path.endswith("/filter")) or wait is None:
                    raise
                time.sleep(wait)  # a busy machine
        raise AssertionError("unreachable")


REGISTER = """
import json, sys
from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.home import Home
home = Home.from_environment()
prepare_environment(home)
from finflow.flows.deployments.automations import apply_automations
from finflow.flows.deployments.register import register_deployments
print(json.dumps({"deployments": register_deployments(home, sys.argv[1:]), "automations": apply_automations(home)}))
"""

EMIT = """
import json, sys
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
for name, labels, payload in json.loads(sys.argv[1]):
    labels["prefect.resource.name"] = labels["prefect.resource.id"].rpartition(".")[2]
    emit_event(name, resource=labels, payload=payload)
EventsWorker.drain_all(timeout=150)  # a loaded machine
"""


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[Served]:
    """A server over an empty home in `folder`, with these settings of Prefect; ended at the end of the block."""
    root = folder / "home"
    home = Home(root=root, lake=str(root / "lake"), tracking_uri=f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", prefect_api=None)
    home.prefect.mkdir(parents=True, exist_ok=True)
    listener = listening_socket()
    found = Served(home, listener.getsockname()[1], folder / "server.log")
    environment = {**found.environment, "PREFECT_SERVER_LOGGING_LEVEL": "INFO", **settings}
    command = [sys.executable, "-m", "uvicorn", "--factory", "finflow.flows.servers.prefect_application:create_app"]
    begin_from_template("prefect", home.prefect / "prefect.db")
    with listener, found.log.open("ab") as stream:
        process = subprocess.Popen(
            [*command, "--fd", str(listener.fileno()), "--log-level", "warning"],
            pass_fds=[listener.fileno()],
            cwd=REPOSITORY,
            env=environment,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        until(lambda: _healthy(found.api) or process.poll() is not None, 240)
        assert process.poll() is None, found.log.read_text()[-3000:]
        keep_as_template("prefect", home.prefect / "prefect.db")
        yield found
    finally:
        _stop(process)


def until(look: Callable[[], Found], seconds: float, every: float = 0.5) -> Found:
    """What `look` finds, once it is true; an AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing was found within {seconds:.0f} s, but {found!r}"
        time.sleep(every)


def _healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, which is in its session."""
    import psutil

    if process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
        for child in children:
            if child.is_running():
                child.kill()
