"""Starting, watching and ending the processes of the stack, by id; a token in their environment finds what an id alone would lose."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from finflow.flows.runs import POOL
from finflow.flows.servers.plan import ROLE, TOKEN, Start
from finflow.flows.servers.secrets import USER, Secrets
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.processes import started_at
from finflow.pipelines.core.servers import ServerProcess, Stack

START_SECONDS = 180.0
GRACE_SECONDS = 20.0
_LONGEST_LOG = 20 * 1024 * 1024


def spawn(home: Home, start: Start, port: int) -> ServerProcess:
    """Start it in a session of its own, so that Ctrl-C in the terminal does not end it; its output goes to its log."""
    log = log_of(home, start.name)
    if log.exists() and log.stat().st_size > _LONGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as stream:
        process = subprocess.Popen(
            start.command,
            env=start.environment,
            cwd=home.servers,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    return ServerProcess(start.name, port, process.pid, started_at(process.pid))


def log_of(home: Home, name: str) -> Path:
    return home.servers / f"{name}.log"


def health(stack: Stack, name: str, secrets: Secrets | None) -> str | None:
    """What is wrong with a server of the stack; None if nothing is.

    Its process must live, and its answer must have passed through its database (for the worker: through its loop).
    """
    server = stack.server(name)
    if not server.alive:
        return "does not run"
    if name == "prefect":
        return _asked(f"{stack.prefect_api}/ready")[0]
    if name == "mlflow":
        credentials = f"{USER}:{secrets.mlflow_password}" if secrets else None
        return _asked(f"{stack.address('mlflow')}/api/2.0/mlflow/experiments/search", {"max_results": 1}, credentials)[0]
    wrong, _ = _asked(f"http://127.0.0.1:{server.port}/health")
    if wrong:
        return wrong
    wrong, workers = _asked(f"{stack.prefect_api}/work_pools/{POOL}/workers/filter", {}, secrets.prefect if secrets else None)
    if wrong:
        return f"cannot be asked for: the Prefect server {wrong}"
    online = any(worker["name"] == POOL and worker["status"] == "ONLINE" for worker in workers)
    return None if online else "has not reached the Prefect server"


def _asked(url: str, body: dict[str, Any] | None = None, credentials: str | None = None) -> tuple[str | None, Any]:
    """What is wrong with the answer, or None and the JSON in it. No proxy of the environment is asked for this machine's own servers."""
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode())
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return (None if answer.status == 200 else f"answers {answer.status}"), json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return f"answers {error.code}", None
    except (OSError, ValueError) as error:
        return f"does not answer ({getattr(error, 'reason', error)})", None


def wait_until_healthy(stack: Stack, name: str, secrets: Secrets | None, seconds: float) -> str | None:
    """None as soon as it is healthy; else what is wrong with it, after `seconds` or when its process has ended."""
    deadline = time.monotonic() + seconds
    while True:
        wrong = health(stack, name, secrets)
        if wrong is None or not stack.server(name).alive or time.monotonic() > deadline:
            return wrong
        time.sleep(0.2)


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            return True
        except OSError:
            return False


def descendants(stack: Stack, name: str | None = None) -> list[Any]:
    """Every process that carries the token of the stack (started as `name`, or as any), but for this one and those that called it."""
    import psutil

    ancestors = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    processes = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # gone, or somebody else's
        if environment.get(TOKEN) == stack.token and (name is None or environment.get(ROLE) == name) and process.pid not in ancestors:
            processes.append(process)
    return processes


def flow_runs(stack: Stack) -> list[Any]:
    """The processes of flow runs, without the worker above them (if it still runs) and what they started themselves."""
    import psutil

    below = {process.pid: process for process in descendants(stack, "worker") if process.pid != stack.server("worker").pid}
    processes = []
    for process in below.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.ppid() not in below:
                processes.append(process)
    return processes


def end(processes: Iterable[Any], grace: float = GRACE_SECONDS) -> int:
    """SIGTERM, and SIGKILL to what is there after `grace` seconds. How many had to be killed."""
    import psutil

    asked = list(processes)
    for process in asked:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    left = _wait(asked, grace)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait(left, 10)
    return len(left)


def _wait(processes: list[Any], seconds: float) -> list[Any]:
    """Those that still run after `seconds`. A zombie, which waits for its parent only, has ended."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if not _has_ended(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _has_ended(process: Any) -> bool:
    import psutil

    try:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return False
        if process.ppid() == os.getpid():
            process.wait(0)
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        pass
    return True
