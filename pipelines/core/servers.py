"""What `finflow up` started for a home: process ids with their start times, and ports. No secret is in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.processes import is_alive
from finflow.pipelines.core.whole_files import write_whole

SCHEMA = 1
FILE = "stack.json"


@dataclass(frozen=True)
class ServerProcess:
    """One process of the stack. A `pid` of 0: it does not run; the port is kept for the next time."""

    name: str  # prefect | mlflow | worker
    port: int
    pid: int = 0
    created: float = 0.0

    @property
    def alive(self) -> bool:
        return self.pid > 0 and is_alive(self.pid, self.created)


@dataclass(frozen=True)
class Stack:
    """The servers of a home.

    Attributes:
        token: stands in the environment of every process that `up` started, and of their children.
        up: `finflow up` ended well, and `finflow down` was not called since: commands use these servers.
        secure: they ask for credentials.
        host: where clients on this machine find them.
        database: `host:port/name` of their PostgreSQL; None: SQLite files of the home.
        heartbeat_seconds: how often a run says that it lives, for the servers mark one that is silent as crashed.
    """

    token: str
    up: bool
    secure: bool
    host: str
    database: str | None
    servers: tuple[ServerProcess, ...]
    heartbeat_seconds: int = 180

    def server(self, name: str) -> ServerProcess:
        return next(one for one in self.servers if one.name == name)

    def address(self, name: str) -> str:
        return f"http://{self.host}:{self.server(name).port}"

    @property
    def prefect_api(self) -> str:
        return f"{self.address('prefect')}/api"

    @property
    def in_use(self) -> bool:
        """Whether commands turn to these servers: while they are up, and always where the state is in PostgreSQL."""
        return self.up or self.database is not None

    def with_server(self, server: ServerProcess) -> Stack:
        return replace(self, servers=tuple(server if one.name == server.name else one for one in self.servers))


def read_stack(folder: Path) -> Stack | None:
    """The record in a home's folder of servers; None if `finflow up` was never called there.

    Raises:
        StateError: the file is damaged or of another version.
    """
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StateError(f"{path} cannot be read ({error}): mend or delete it. Processes that it names run on.") from None
    if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
        raise StateError(f"{path} is no record of schema {SCHEMA}: `finflow down` of the version that wrote it, then delete it.")
    try:
        servers = tuple(ServerProcess(**one) for one in values.pop("servers"))
        return Stack(servers=servers, **values)
    except (KeyError, TypeError) as error:
        raise StateError(f"{path} is damaged ({error}): mend or delete it. Processes that it names run on.") from None


def write_stack(folder: Path, stack: Stack) -> None:
    """Put the record in its place by one rename."""
    write_whole(folder / FILE, json.dumps({"schema": SCHEMA, **asdict(stack)}, indent=2))


def require_running(folder: Path, name: str, address: str) -> None:
    """Say at once, instead of after many retries, that a server of this home is not there.

    Args:
        folder: the home's folder of servers.
        name: prefect or mlflow.
        address: what is about to be called; other servers than the home's are not looked at.

    Raises:
        StateError: it is the home's, and its process does not run.
    """
    stack = read_stack(folder)
    if stack is None or not stack.in_use or stack.server(name).alive:
        return
    if address.rstrip("/") not in (stack.address(name), stack.prefect_api):
        return
    title = {"prefect": "Prefect", "mlflow": "MLflow"}[name]
    if not stack.up:
        raise StateError(f"This home keeps its state in PostgreSQL ({stack.database}), and its servers are down: `finflow up` starts them.")
    without = "" if stack.database else "; after `finflow down` commands do without"
    raise StateError(f"The {title} server of this home has ended: see {folder / f'{name}.log'}. `finflow up` starts it again{without}.")
