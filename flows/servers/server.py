"""The embedded Prefect server of a home: started when first needed, shared by the commands that run, ended by the last one.

A server that a killed command left behind is found by the record it kept, and reused; the last living user ends it by its process id.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from finflow.flows.runs.zombies import watched_runs
from finflow.pipelines.core.database_templates import begin_from_template, keep_as_template
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.processes import is_alive, started_at
from finflow.pipelines.core.servers import require_running
from finflow.pipelines.core.whole_files import write_whole
from finflow.pipelines.tracking.store import prepare_store, require_servers

START_SECONDS = 120.0


@dataclass(frozen=True)
class ServerRecord:
    """A running server: its process, by id and start time (ids are used again), and its port."""

    pid: int
    created: float
    port: int

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.created)

    @property
    def healthy(self) -> bool:
        """The process lives and answers."""
        if not self.alive:
            return False
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{self.api}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def prefect_server(home: Home, port: int | None = None) -> Iterator[str]:
    """The URL of a Prefect API for the time of the block; PREFECT_API_URL is set to it.

    A server that PREFECT_API_URL names, or that `finflow up` started, is used as it is. Otherwise the home's embedded one is started or
    reused. `port`: where to start it (None: any free port); one that runs stays where it is.

    Raises:
        FinflowError: it does not come up, and the message names its log; or the one that `finflow up` started has ended.
    """
    require_servers(home)
    if home.prefect_api:
        require_running(home.servers, "prefect", home.prefect_api)
        _read_settings_anew(home.prefect_api)
        home.prefect.mkdir(parents=True, exist_ok=True)  # Prefect keeps its own settings and results there, and warns where it is missing
        with watched_runs(home.prefect_api):
            yield home.prefect_api
        return
    record = _enter(home, port)
    os.environ["PREFECT_API_URL"] = record.api
    _read_settings_anew(record.api)
    try:
        with watched_runs(record.api):
            yield record.api
    finally:
        send_what_is_queued()
        del os.environ["PREFECT_API_URL"]
        _leave(home)


def _enter(home: Home, port: int | None) -> ServerRecord:
    from filelock import FileLock

    _users(home).mkdir(parents=True, exist_ok=True)
    with FileLock(home.prefect / "server.lock"):
        (_users(home) / str(os.getpid())).write_text(str(started_at(os.getpid())))
        record = _read(home)
        if record and record.healthy:
            return record
        if record and record.alive:
            _end(record)
        return _start(home, port)


def _leave(home: Home) -> None:
    from filelock import FileLock

    with FileLock(home.prefect / "server.lock"):
        (_users(home) / str(os.getpid())).unlink(missing_ok=True)
        for user in _users(home).iterdir():
            if is_alive(int(user.name), float(user.read_text() or 0)):
                return
            user.unlink(missing_ok=True)
        record = _read(home)
        if record:
            _end(record)
            _record_path(home).unlink(missing_ok=True)


def send_what_is_queued() -> None:
    """Logs and events go to the server in the background: let them arrive before it may end."""
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    # In a thread of its own: where an event loop runs, as in a notebook, it would hand back a coroutine and wait for nothing.
    with ThreadPoolExecutor(1) as thread:
        for worker in (APILogWorker, EventsWorker):
            thread.submit(worker.drain_all, timeout=10).result()


def _read_settings_anew(api: str) -> None:
    """Prefect reads the environment as it is imported; a process that was told of another server since, a notebook say, reads it again."""
    if "prefect" not in sys.modules:
        return
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    if get_current_settings().api.url != api:
        refresh_global_settings_context()


def _start(home: Home, port: int | None) -> ServerRecord:
    listener = listening_socket(port or 0)
    port = int(listener.getsockname()[1])
    log = home.prefect / "server.log"
    environment = {
        # Nothing is scheduled on an embedded server; what a person has set stays.
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
        **os.environ,
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--fd", str(listener.fileno()), "--log-level", "error", "--lifespan", "on"]
    begin_from_template("prefect", home.prefect / "prefect.db")
    with listener, log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            pass_fds=[listener.fileno()],
        )
    record = ServerRecord(process.pid, started_at(process.pid), port)
    write_whole(_record_path(home), json.dumps(asdict(record)))
    _prepare_meanwhile(home, record)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise FinflowError(f"The Prefect server ended with code {process.returncode} as it started: see {log}.")
        if record.healthy:
            keep_as_template("prefect", home.prefect / "prefect.db")
            return record
        time.sleep(0.1)
    _end(record)
    raise FinflowError(f"The Prefect server did not answer within {START_SECONDS:.0f} s: see {log}.")


def _prepare_meanwhile(home: Home, record: ServerRecord) -> None:
    """Import what the flows will need and make MLflow's store while another process starts for 10 s: a second core does it."""
    os.environ["PREFECT_API_URL"] = record.api  # read as prefect is imported
    for name in ("prefect", "great_expectations", "mlflow.store.tracking.sqlalchemy_store", "exchange_calendars"):
        importlib.import_module(name)
    prepare_store(home)


def _end(record: ServerRecord) -> None:
    import psutil

    if not record.alive:
        return
    process = psutil.Process(record.pid)
    process.terminate()
    try:
        process.wait(10)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(10)


def _read(home: Home) -> ServerRecord | None:
    try:
        return ServerRecord(**json.loads(_record_path(home).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _record_path(home: Home) -> Path:
    return home.prefect / "server.json"


def _users(home: Home) -> Path:
    return home.prefect / "users"


def listening_socket(port: int = 0) -> socket.socket:
    """A socket that listens on a loopback port (0: any free one): a server takes it over, and nobody else can take the port meanwhile."""
    listener = socket.socket()
    if port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose last connection has just ended is free
    listener.bind(("127.0.0.1", port))
    listener.listen(2048)
    return listener


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
