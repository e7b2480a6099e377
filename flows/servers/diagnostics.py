"""After a failure that nobody foresaw: whether what a command needs around it is there at all, in words that a person can act on."""

from __future__ import annotations

import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from finflow.pipelines.core.disk import full, looks_full, no_space
from finflow.pipelines.core.errors import FinflowError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.redaction import redacted
from finflow.pipelines.core.servers import require_running
from finflow.pipelines.tracking.store import LOCKED_SECONDS, database_file, require_servers

ANSWER_SECONDS = 5.0


@contextmanager
def explained(home: Home) -> Iterator[None]:
    """A block whose unforeseen failures are said in words, where something around it is missing.

    Raises:
        FinflowError: the reason that `diagnose` knows.
    """
    try:
        yield
    except FinflowError:
        raise
    except Exception as error:
        reason = diagnose(home, error)
        if reason is None:
            raise
        raise FinflowError(reason) from error


def diagnose(home: Home, error: Exception | None = None) -> str | None:
    """The first thing that is wrong with the home's folder or the servers that it names; None if it is none of these.

    Args:
        error: the failure; it may say itself that the disk is full.
    """
    return _room(home, error) or _folder(home) or _stack(home) or _prefect(home) or _mlflow(home) or _locked(home)


def _room(home: Home, error: Exception | None) -> str | None:
    what = "what the command had to keep"
    said = no_space(error, what, home.root) or (full(what, home.root) if looks_full(home.root) else None)
    return None if said is None else str(said)


def _folder(home: Home) -> str | None:
    try:
        home.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home.root) as file:
            file.write(b"finflow")
    except OSError as error:
        return (
            f"the folder of all state, {home.root}, cannot be written ({error.strerror or error}). "
            "Mend that, or set FINFLOW_HOME to another folder."
        )
    return None


def _stack(home: Home) -> str | None:
    """A server that `finflow up` started, and that has ended meanwhile."""
    try:
        require_servers(home)
        require_running(home.servers, "prefect", home.prefect_api or "")
    except StateError as error:
        return str(error)
    return None


def _prefect(home: Home) -> str | None:
    if not home.prefect_api or _answers(f"{home.prefect_api.rstrip('/')}/health"):
        return None
    address = redacted(home.prefect_api)
    return f"no Prefect server answers at PREFECT_API_URL {address}. Start it, or unset it: finflow then starts one of its own."


def _mlflow(home: Home) -> str | None:
    if not home.tracking_uri.startswith(("http://", "https://")) or _answers(f"{home.tracking_uri.rstrip('/')}/health"):
        return None
    address = redacted(home.tracking_uri)
    return f"no MLflow server answers at MLFLOW_TRACKING_URI {address}. Start it, or unset it: runs then stay under FINFLOW_HOME."


def _locked(home: Home) -> str | None:

    path = database_file(home)
    if path is None or not path.is_file():
        return None
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        return (
            f"MLflow's database {path} cannot be written ({error}): another process has held it for over {LOCKED_SECONDS} seconds. "
            "Run the command again once that one has ended; nothing that was finished is lost."
        )
    return None


def _answers(url: str) -> bool:
    """Something listens there and speaks HTTP, whatever it says."""
    parts = urlsplit(url)
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # whether it answers needs no password
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
