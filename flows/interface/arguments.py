"""What a person passes in Python, as the commands take it: a mistake is told in words that name the argument."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from typing import Any

from finflow.pipelines.core.errors import FinflowError

#: a date as text (2018-12-31), or as what pandas and the standard library have for one
Date = str | datetime.date


def date_text(value: Date | None, name: str = "as_of") -> str | None:
    """The date as a command takes it, or None for none.

    Raises:
        FinflowError: it is neither text nor a date; what text may be is for the command to say.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime.datetime):  # pandas' Timestamp is one
        midnight = value.tzinfo is None and value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise FinflowError(f"{name}: expected a date such as '2018-12-31', got {type(value).__name__}.")


def names(value: str | Sequence[str] | None, argument: str) -> list[str] | None:
    """Names as a command takes them; a text is one name.

    Raises:
        FinflowError: not texts.
    """
    if value is None:
        return None
    found = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(one, str) for one in found):
        raise FinflowError(f"{argument}: expected a list of names, got {found!r}.")
    return found or None


def version_number(value: int | None) -> int | None:
    """A version's number, or None for the champion.

    Raises:
        FinflowError: no whole number.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise FinflowError(f"version: expected a number such as 1 (or nothing, for the champion), got {value!r}.")


def definition_source(value: str | os.PathLike[str] | Mapping[str, Any]) -> str | Mapping[str, Any]:
    """What `load` was given, a path as text.

    Raises:
        FinflowError: neither text, nor a path, nor a mapping.
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str | os.PathLike):
        return str(os.fspath(value))
    raise FinflowError(f"load: expected a definition's name, a path ending in .yaml or a mapping, got {type(value).__name__}.")
