"""`finflow up`, `finflow down`, `finflow up --check`: a home's Prefect server, MLflow server and worker.

Their process ids, start times and ports are kept in `<home>/servers/stack.json`, their output beside it. One command at a time changes
them, under a file lock.
"""

from __future__ import annotations

import contextlib
import os
import secrets as random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from finflow.flows.deployments.automations import apply_automations
from finflow.flows.display import DISPLAY
from finflow.flows.runs.zombies import heartbeat_seconds
from finflow.flows.servers.database import Database, database_from_environment, make_schemas
from finflow.flows.servers.plan import NAMES, Start, client_environment, plan_mlflow, plan_prefect, plan_worker, users_file, users_settings
from finflow.flows.servers.processes import (
    START_SECONDS,
    descendants,
    end,
    flow_runs,
    health,
    log_of,
    port_is_free,
    spawn,
    wait_until_healthy,
)
from finflow.flows.servers.secrets import Secrets, make_secrets, read_secrets
from finflow.flows.servers.server import free_port
from finflow.flows.servers.settings import LOOPBACK, ServerSettings, read_settings
from finflow.flows.servers.state import refuse_another_database
from finflow.pipelines.core.database_templates import begin_from_template, keep_as_template
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.processes import is_alive
from finflow.pipelines.core.servers import ServerProcess, Stack, read_stack, write_stack

_TITLES = {"prefect": "Prefect server", "mlflow": "MLflow server", "worker": "worker"}
_PATIENCE = 15.0  # for a process that lives and does not answer, before it is ended and started again


@dataclass(frozen=True)
class _Site:
    """What one `up` works with."""

    home: Home
    settings: ServerSettings
    secrets: Secrets | None
    database: Database | None


def start_stack(home: Home, names: list[str]) -> dict[str, Any]:
    """Start what does not run, register deployments and automations, and say where everything is. What runs is left alone.

    Args:
        names: definitions beside the shipped ones, as paths to YAML files.

    Raises:
        FinflowError: a definition, setting or database is not as it should be, or a server does not come up (the message names its log).
            Whatever this call started has been ended.
    """
    # late: loads pandas, pyarrow
    from finflow.pipelines.definitions.loading import load_and_remember

    began = time.monotonic()
    for name in names:
        load_and_remember(name, home)
    settings, database = read_settings(home), database_from_environment()
    with _alone(home):
        before = read_stack(home.servers)
        refuse_another_database(home, before, database)
        stack = _next(before, settings, database)
        site = _prepare(home, settings, database)
        started: list[str] = []
        try:
            stack = _start_servers(site, stack, started)
            os.environ.update(client_environment(stack, site.secrets))
            registered = _register(home, names)
            stack = _ensure(site, stack, "worker", plan_worker(home, stack, settings, site.secrets), started)
            _await(site, stack, "worker")
        except BaseException:
            _undo(home, started)
            raise
        stack = replace(stack, up=True, heartbeat_seconds=heartbeat_seconds())
        write_stack(home.servers, stack)
    return {
        "ok": True,
        "prefect": (settings.prefect_url or stack.address("prefect")).rstrip("/"),
        "mlflow": stack.address("mlflow"),
        "worker": stack.server("worker").pid,
        "started": started,
        "secure": stack.secure,
        "database": stack.database,
        "elsewhere": _elsewhere(home, before, stack),
        **registered,
        "logs": str(home.servers),
        "seconds": round(time.monotonic() - began, 1),
    }


def stop_stack(home: Home) -> dict[str, Any]:
    """End what `up` started: the worker and its flow runs first, while the servers can still take their last words, then the servers.

    Each is asked, and killed only after a time of grace. Afterwards no process of the stack is left, whoever its parent was.
    """
    if not home.servers.is_dir():
        return {"ok": True, "stopped": [], "killed": 0}
    with _alone(home):
        stack = read_stack(home.servers)
        if stack is None:
            return {"ok": True, "stopped": [], "killed": 0}
        stopped = [name for name in reversed(NAMES) if stack.server(name).alive]
        killed = end(flow_runs(stack))  # before the worker, which would kill them at once: so each can still say that it was ended
        for name in reversed(NAMES):
            killed += _end_server(stack, name)
        killed += end(descendants(stack))
        write_stack(home.servers, replace(stack, up=False, servers=tuple(ServerProcess(one.name, one.port) for one in stack.servers)))
    return {"ok": True, "stopped": stopped, "killed": killed}


def check_stack(home: Home) -> dict[str, Any]:
    """Look at each server, and change nothing. `ok` is False if anything is not healthy, or nothing was started."""
    stack = read_stack(home.servers)
    if stack is None or not (stack.up or any(server.alive for server in stack.servers)):
        return {"ok": False, "up": False, "servers": []}
    secrets = read_secrets(home) if stack.secure else None
    servers = []
    for name in NAMES:
        wrong = health(stack, name, secrets)
        address = None if name == "worker" else stack.address(name)
        servers.append({"name": name, "healthy": wrong is None, "address": address, "detail": wrong, "log": str(log_of(home, name))})
    return {"ok": all(server["healthy"] for server in servers), "up": True, "servers": servers}


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Nobody else starts or stops servers of this home meanwhile."""
    from filelock import FileLock, Timeout

    home.servers.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.servers / "stack.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        DISPLAY.say("another `finflow up` or `finflow down` of this home is at work: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _next(before: Stack | None, settings: ServerSettings, database: Database | None) -> Stack:
    """The record to begin with: the one there is, or a new one; ports and the token stay."""
    if before is None:
        before = Stack(random.token_hex(16), False, False, settings.client_host, None, tuple(ServerProcess(name, 0) for name in NAMES))
    place = database.place if database else None
    wanted = {"prefect": settings.prefect_port, "mlflow": settings.mlflow_port}
    moved = [name for name, port in wanted.items() if port is not None and port != before.server(name).port]
    changed = moved or (before.secure, before.host) != (settings.secure, settings.client_host)
    if changed and any(server.alive for server in before.servers):
        raise FinflowError("The servers run with other settings (ports, host or credentials): `finflow down` first, then `finflow up`.")
    for name in moved:
        before = before.with_server(replace(before.server(name), port=wanted[name] or 0))
    return replace(before, secure=settings.secure, host=settings.client_host, database=place)


def _prepare(home: Home, settings: ServerSettings, database: Database | None) -> _Site:
    """Folders, credentials and schemas."""
    for folder in (home.servers, home.prefect, home.mlflow):
        folder.mkdir(parents=True, exist_ok=True)
    secrets = make_secrets(home) if settings.secure else None
    if secrets:
        home.servers.chmod(0o700)  # MLflow's table of users is in it too
        users_file(home).write_text(users_settings(home, database), encoding="utf-8")
        users_file(home).chmod(0o600)
    if database:
        make_schemas(database)
    return _Site(home, settings, secrets, database)


def _start_servers(site: _Site, stack: Stack, started: list[str]) -> Stack:
    """Both servers, side by side; each makes its own database before it answers, and nobody else connects before that."""
    from filelock import FileLock

    with FileLock(site.home.prefect / "server.lock"):  # an embedded server that starts now would make the same database
        for name in NAMES:
            stack = _with_port(site, stack, name)
        write_stack(site.home.servers, stack)  # before anything carries its token: a killed `up` leaves nothing that cannot be found
        if site.database is None:
            begin_from_template("prefect", site.home.prefect / "prefect.db")
        stack = _ensure(site, stack, "prefect", plan_prefect(site.home, stack, site.settings, site.secrets, site.database), started)
        stack = _ensure(site, stack, "mlflow", plan_mlflow(site.home, stack, site.settings, site.secrets, site.database), started)
        for name in ("prefect", "mlflow"):
            _await(site, stack, name)
        if site.database is None:
            keep_as_template("prefect", site.home.prefect / "prefect.db")
    return stack


def _ensure(site: _Site, stack: Stack, name: str, start: Start, started: list[str]) -> Stack:
    """The process runs after this, and the record says so; one that lives but does not answer is started again."""
    if stack.server(name).alive:
        young = START_SECONDS - (time.time() - stack.server(name).created)  # it may be what a killed `up` has just started
        wrong = wait_until_healthy(stack, name, site.secrets, max(_PATIENCE, young))
        if wrong is None:
            return stack
        DISPLAY.say(f"the {_TITLES[name]} {wrong}: starting it again")
    _end_process(stack.server(name))
    stack = stack.with_server(spawn(site.home, start, stack.server(name).port))
    started.append(name)
    write_stack(site.home.servers, stack)
    return stack


def _with_port(site: _Site, stack: Stack, name: str) -> Stack:
    """The server's port: the kept one, or another if a stranger has taken it."""
    server = stack.server(name)
    if server.alive:
        return stack
    if name != "worker":
        end(descendants(stack, name))  # what is left of it may hold the port
    if server.port and port_is_free(LOOPBACK if name == "worker" else site.settings.host, server.port):
        return stack
    if server.port in (site.settings.prefect_port, site.settings.mlflow_port):
        raise FinflowError(f"Port {server.port}, which the settings give the {_TITLES[name]}, is taken by another process.")
    if server.port:
        DISPLAY.say(f"port {server.port} of the {_TITLES[name]} is taken by another process: it gets a new one")
    return stack.with_server(replace(server, port=free_port()))


def _await(site: _Site, stack: Stack, name: str) -> None:
    began = time.monotonic()
    wrong = wait_until_healthy(stack, name, site.secrets, START_SECONDS)
    if wrong is not None:
        after = f"after {time.monotonic() - began:.0f} s"
        what = f"{wrong} {after}" if stack.server(name).alive else f"ended as it started, {after}"
        raise FinflowError(f"The {_TITLES[name]} {what}: see {log_of(site.home, name)}.")


def _register(home: Home, names: list[str]) -> dict[str, Any]:
    # late: loads pandas, pyarrow
    from finflow.flows.deployments.register import register_deployments

    return {"deployments": register_deployments(home, names), "automations": apply_automations(home)}


def _elsewhere(home: Home, before: Stack | None, stack: Stack) -> list[str]:
    """The variables of this shell that send commands to other servers than these."""
    addresses = {
        f"sqlite:///{home.mlflow / 'mlflow.db'}",
        *(a for one in (before, stack) if one for a in (one.prefect_api, one.address("mlflow"))),
    }
    said = {"PREFECT_API_URL": home.prefect_api, "MLFLOW_TRACKING_URI": home.tracking_uri}
    return [name for name, address in said.items() if address and address not in addresses]


def _undo(home: Home, started: list[str]) -> None:
    """End what a failed `up` has started; the record keeps the ports."""
    with contextlib.suppress(FinflowError):
        stack = read_stack(home.servers)
        for name in reversed(started):
            if stack is not None:
                _end_server(stack, name)
                stack = stack.with_server(ServerProcess(name, stack.server(name).port))
        if stack is not None:
            write_stack(home.servers, stack)


def _end_server(stack: Stack, name: str) -> int:
    """End a process of the stack and, when it is gone or the grace is over, what it left behind. How many had to be killed."""
    killed = _end_process(stack.server(name))
    return killed + end(descendants(stack, name))


def _end_process(server: ServerProcess) -> int:
    import psutil

    if not is_alive(server.pid, server.created):
        return 0
    try:
        return end([psutil.Process(server.pid)])
    except psutil.NoSuchProcess:
        return 0
