"""Patience with MLflow: bounded tries with growing waits, then one clear error; and what must be there once is made once."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from finflow.pipelines.core.disk import no_space
from finflow.pipelines.core.errors import UnreachableError

RETRIES, FACTOR, TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "MLFLOW_HTTP_REQUEST_TIMEOUT"
DEFAULT_RETRIES = 5
FIRST_WAIT = 1.0  # seconds; each wait is twice the one before
WHOLE_SECONDS = 60.0  # after which no further try begins, unless the person has set the number of retries
ANSWER_SECONDS = "20"

#: a second request makes a second thing: after a lost answer it must be looked for first
_MAKES = frozenset({"create_run", "create_logged_model", "create_model_version"})
_CODES = frozenset({"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"})
_NEVER_ARRIVED = ("Connection refused", "NewConnectionError", "ConnectTimeoutError", "NameResolutionError")

Made = TypeVar("Made")


class UnansweredError(UnreachableError):
    """Whether the server did what was asked is not known."""


class Patient:
    """An MLflow client whose every call is tried again while the server does not answer.

    MLflow's own retries are off in here: they would repeat a request that makes something although only its answer was lost.
    `MLFLOW_HTTP_REQUEST_MAX_RETRIES`, `..._BACKOFF_FACTOR` and `..._TIMEOUT` mean what they mean to MLflow, and win over the defaults.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if not callable(attribute):
            return attribute
        return lambda *arguments, **named: patiently(
            lambda: attribute(*arguments, **named), self._address, makes=name in _MAKES, deletes=name.startswith("delete_")
        )


def patiently(work: Callable[[], Made], address: str, *, makes: bool = False, deletes: bool = False) -> Made:
    """The result of `work`, tried again with growing waits while MLflow does not answer.

    Args:
        address: the tracking URI, for the message.
        makes: doing it twice would make two things: only a request that never arrived is sent again.
        deletes: on a further try, what is gone already was deleted by the one whose answer was lost.

    Raises:
        UnreachableError: the last try failed too; of `makes`, an UnansweredError where the request may have arrived.
        DiskFullError: MLflow's disk, or the one artifacts are written to, is full.
        Exception: whatever else `work` raises.
    """
    began = time.monotonic()
    retries, bounded = _retries()
    for attempt in range(retries + 1):
        try:
            with _single_requests():
                return work()
        except Exception as error:
            place = address.removeprefix("sqlite:///").partition("?")[0] if address.startswith("sqlite:///") else None
            full = no_space(error, f"what MLflow ({address}) keeps", place)
            if full is not None:
                raise full from error
            if deletes and attempt and getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                return None  # type: ignore[return-value]
            if not is_passing(error):
                raise
            lost = makes and not any(words in str(error) for words in _NEVER_ARRIVED)
            wait = _wait(attempt)
            if lost or attempt == retries or (bounded and time.monotonic() - began + wait > WHOLE_SECONDS):
                kind = UnansweredError if lost else UnreachableError
                raise kind(_told(address, error, attempt + 1, time.monotonic() - began)) from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def once(find: Callable[[], Sequence[Made]], make: Callable[[], Made], drop: Callable[[Made], Any]) -> Made:
    """What `find` finds, else what `make` makes; one thing is there afterwards, also where the answer of a request was lost.

    Args:
        find: those there are, the one that counts first.
        make: through a `Patient` client.
        drop: removes one that a late request made beside the one that counts.

    Raises:
        UnreachableError: the server did not answer, time and again.
    """

    def first() -> Made | None:
        existing = find()
        for extra in existing[1:]:
            drop(extra)
        return existing[0] if existing else None

    retries, _ = _retries()
    lost: UnansweredError | None = None
    for attempt in range(retries + 1):
        existing = first()
        if existing is not None:
            return existing
        try:
            made = make()
        except UnansweredError as error:
            lost = error
            time.sleep(_wait(attempt))
            continue
        # After a lost answer the earlier request may have arrived late: the first of both counts.
        return made if lost is None else first() or made
    existing = first()
    if existing is None:
        raise lost or UnansweredError("MLflow was not asked.")
    return existing


def is_passing(error: BaseException) -> bool:
    """Whether a failure of MLflow's client says that the server is away or overloaded, and not that the request is wrong."""
    kind = type(error)
    if "database is locked" in str(error):
        return False  # SQLite has waited already
    if kind.__module__.startswith("mlflow."):
        return str(error).startswith("API request to http") or getattr(error, "error_code", "") in _CODES
    if kind.__module__.startswith(("requests.", "urllib3.")):
        status = getattr(getattr(error, "response", None), "status_code", None)
        return status is None or status == 429 or status >= 500
    return False


def _told(address: str, error: BaseException, tries: int, seconds: float) -> str:
    text = str(error)
    cause = re.search(r"Connection refused|Read timed out|timed out|Connection reset|without response|too many \d+ error responses", text)
    reason = cause[0] if cause else " ".join(text.split())[-200:]
    count = "1 try" if tries == 1 else f"{tries} tries"
    return (
        f"MLflow at {address} does not answer ({reason}; {count} in {seconds:.0f} s). What is finished is kept. Start it, or name another "
        "with MLFLOW_TRACKING_URI; the same command again goes on from here."
    )


def _wait(attempt: int) -> float:
    return _number(FACTOR, FIRST_WAIT) * 2.0**attempt


def _retries() -> tuple[int, bool]:
    """How often to try again, and whether the time is bounded too."""
    with _LOCK:
        asked = _kept[RETRIES] if _depth else os.environ.get(RETRIES)
    return (DEFAULT_RETRIES, True) if asked is None or not asked.isdigit() else (int(asked), False)


def _number(name: str, default: float) -> float:
    try:
        return float(os.environ.get(name, default))
    except ValueError:
        return default


_LOCK = threading.Lock()
_kept: dict[str, str | None] = {}
_depth = 0


@contextmanager
def _single_requests() -> Iterator[None]:
    """MLflow's client, in all threads of this process, sends each request once, and waits for its answer so long as we say."""
    global _depth
    with _LOCK:
        if not _depth:
            _kept.update({name: os.environ.get(name) for name in (RETRIES, TIMEOUT)})
            os.environ[RETRIES] = "0"
            os.environ.setdefault(TIMEOUT, ANSWER_SECONDS)
        _depth += 1
    try:
        yield
    finally:
        with _LOCK:
            _depth -= 1
            if not _depth:
                for name, value in _kept.items():
                    if value is None:
                        os.environ.pop(name, None)
                    else:
                        os.environ[name] = value
