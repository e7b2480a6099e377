"""A home whose servers a test starts for real, through the command line."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finflow.flows.servers.processes import descendants
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import Stack, read_stack
from tests.support import REPOSITORY, files_with, warm

_OURS = ("FINFLOW_", "PREFECT_", "MLFLOW_", "PG")


class Installation:
    """The command line over a home of its own, without the addresses of other servers."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.home = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)
        kept = {name: value for name, value in os.environ.items() if name == "FINFLOW_CACHE" or not name.startswith(_OURS)}
        self.environment = {**kept, "FINFLOW_HOME": str(root), "COLUMNS": "120", **environment}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return warm.run(
            [sys.executable, "-m", "finflow.flows", *arguments], cwd=REPOSITORY, env={**self.environment, **environment}, timeout=400
        )

    def json(self, *arguments: str) -> dict[str, Any]:
        """The one JSON object of a command that must succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr[-4000:]}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def python(self, program: str, *arguments: str) -> str:
        """What a program prints that prepares itself as a command does."""
        begin = "from finflow.flows.servers.environment import prepare_environment; from finflow.pipelines.core.home import Home\n"
        begin += "home = Home.from_environment(); prepare_environment(home)\n"
        done = warm.run([sys.executable, "-c", begin + program, *arguments], cwd=REPOSITORY, env=self.environment, timeout=200)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    @property
    def stack(self) -> Stack:
        found = read_stack(self.home.servers)
        assert found is not None
        return found

    def pids(self) -> dict[str, int]:
        return {server.name: server.pid for server in self.stack.servers}

    def down(self) -> None:
        """End everything, and see that nothing is left."""
        token = read_stack(self.home.servers)
        self.run("down")
        left = descendants(token) if token else []
        for process in left:
            process.kill()
        assert not left, f"down left {left}"

    def files_with(self, secret: str) -> list[str]:
        """Files of the home that hold these words."""
        return files_with(self.home.root, secret)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


def ask(url: str, body: object = None, *, user: str = "", password: str = "", method: str | None = None, **headers: str) -> Answer:
    """One request, by nothing but the standard library."""
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(), method=method)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, _lower(answer.headers.items()), _read(answer.read()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, _lower(error.headers.items()), _read(error.read()))


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")
