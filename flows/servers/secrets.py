"""Credentials of secured servers: made once, at the first start, in files that only their owner reads."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.redaction import remember
from finflow.pipelines.core.whole_files import whole_file

USER = "finflow"  # of both servers; on MLflow it is the administrator
_FOLDER = "secrets"
_SHORTEST = 32


@dataclass(frozen=True, repr=False)
class Secrets:
    """What secured servers and their clients share. Its text shows nothing."""

    prefect_password: str
    mlflow_password: str
    mlflow_key: str  # signs MLflow's sessions

    @property
    def prefect(self) -> str:
        """As Prefect wants it: `user:password`."""
        return f"{USER}:{self.prefect_password}"


def make_secrets(home: Home) -> Secrets:
    """The home's credentials, which exist after this. Call it under the lock of the stack."""
    folder = home.servers / _FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    for name in Secrets.__dataclass_fields__:
        path = folder / name
        if path.exists():
            continue
        with whole_file(path) as part, open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(secrets.token_urlsafe(_SHORTEST))
    return read_secrets(home)


def read_secrets(home: Home) -> Secrets:
    """The credentials that `make_secrets` made.

    Raises:
        StateError: a file is missing, too short, or open to others.
    """
    values = {}
    for name in Secrets.__dataclass_fields__:
        path = home.servers / _FOLDER / name
        values[name] = _read(path)
        remember(name, values[name])
    return Secrets(**values)


def _read(path: Path) -> str:
    try:
        value = path.read_text().strip()
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise StateError(
            f"the servers' credential {path} cannot be read ({error.strerror}): only the user who ran `finflow up` can."
        ) from None
    if mode & 0o077:
        raise StateError(f"the servers' credential {path} is open to others (mode {mode:o}): chmod 600 it, or delete it for a new one.")
    if len(value) < _SHORTEST:
        raise StateError(f"the servers' credential {path} is too short to be safe: delete it, and `finflow up` makes a new one.")
    return value
