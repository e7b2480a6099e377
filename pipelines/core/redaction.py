"""Keeping secrets out of what is printed, logged and stored: every text that leaves goes through `redacted`."""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from urllib.parse import quote

HIDDEN = "***"

# Greedy up to the last @: a password may hold any of : / ? # and @ itself where its owner forgot to quote it.
# What stands before the @ of an Azure address is a container.
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?<!abfs://)(?<!abfss://)(?<!wasbs://)[^\s]*@")
# A `${NAME}` in its place is no secret.
_PARAMETER = re.compile(
    r"([?&;#][^=&;#\s]*(?:pass|pwd|secret|token|key|sig|credential|auth|session)[^=&;#\s]*=)"
    r"(?!\$\{\w+\}(?:[&;#\s\"'<>]|$))[^&;#\s\"'<>]*",
    re.IGNORECASE,
)
_SHORTEST = 4  # a shorter value would blot out half of every message; as a password in a URL it is hidden all the same

_LOCK = threading.Lock()
_KNOWN: dict[str, str] = {}
_CELLS_HIDDEN: ContextVar[bool] = ContextVar("cells_hidden", default=False)


def redacted(text: str) -> str:
    """The text without the secrets in it.

    Hidden are the user and password of every URL, the values of query parameters that are named like a secret (token, api_key, sig ...),
    and every value that `finflow.pipelines.core.secrets.expand` has put in place of a `${NAME}`, which becomes `${NAME}` again. Rather too
    much is hidden than too little. Doing it twice changes nothing.
    """
    for value, name in sorted(_KNOWN.items(), key=lambda item: -len(item[0])):
        text = text.replace(value, name)
    return _PARAMETER.sub(rf"\1{HIDDEN}", _CREDENTIALS.sub(rf"\1{HIDDEN}@", text))


@contextmanager
def cells_hidden() -> Iterator[None]:
    """In here no message about a table repeats what stands in it: a personal value may stand in any cell of a row that is out of place."""
    token = _CELLS_HIDDEN.set(True)
    try:
        yield
    finally:
        _CELLS_HIDDEN.reset(token)


def are_cells_hidden() -> bool:
    return _CELLS_HIDDEN.get()


def cell(text: str) -> str:
    """What stands in a cell, for a message."""
    return "a value (not shown: there are personal columns)" if _CELLS_HIDDEN.get() else repr(text[:60])


def remember(name: str, value: str) -> None:
    """Hide this value from now on in this process, as it stands and as it stands in a URL."""
    if len(value) < _SHORTEST:
        return
    with _LOCK:
        for form in (value, quote(value, safe=""), quote(value)):
            _KNOWN[form] = f"${{{name}}}"


def hide_in_logs() -> None:
    """From now on in this process, no log record and no traceback of an unforeseen error shows a secret, whoever writes it."""
    before = logging.getLogRecordFactory()
    if isinstance(before, _HidingFactory):
        return
    logging.setLogRecordFactory(_HidingFactory(before))
    sys.excepthook = _print_hidden


@contextmanager
def hidden_in_errors() -> Iterator[None]:
    """Take secrets out of the messages of other people's errors, which end up in places that no log record passes through."""
    try:
        yield
    except Exception as error:
        error.args = tuple(redacted(one) if isinstance(one, str) else one for one in error.args)
        for name in ("strerror", "filename"):  # of an OSError, which keeps them beside its arguments
            if isinstance(value := getattr(error, name, None), str):
                setattr(error, name, redacted(value))
        raise


class _HidingFactory:
    """Makes log records as the factory before it did, and redacts them. Formatters take the text of an exception that is there already."""

    def __init__(self, before: Any) -> None:
        self.before = before

    def __call__(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        record: logging.LogRecord = self.before(*arguments, **named)
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            return record  # its own handler says what is wrong with it
        hidden = redacted(text)
        if hidden != text:
            record.msg, record.args = hidden, ()
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            record.exc_text = redacted("".join(traceback.format_exception(*record.exc_info))).rstrip()
        return record


def _print_hidden(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))
