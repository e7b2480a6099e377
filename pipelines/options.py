"""What a person writes on a command line, read or refused in words that name the option."""

from __future__ import annotations

import pandas as pd

from pipelines.errors import FinflowError


def parse_range(start: str, end: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Both dates, at midnight.

    Raises:
        FinflowError: one is no date, or they are the wrong way round.
    """
    first, last = parse_date("--start", start), parse_date("--end", end)
    if first > last:
        raise FinflowError(f"--start {start} lies after --end {end}.")
    return first, last


def parse_date(option: str, text: str | pd.Timestamp) -> pd.Timestamp:
    """A date at midnight.

    Raises:
        FinflowError: it is none.
    """
    try:
        stamp = pd.Timestamp(text)
    except (ValueError, TypeError):
        stamp = None
    if stamp is None or pd.isna(stamp) or stamp.tzinfo is not None or stamp != stamp.normalize():
        raise FinflowError(f"{option} {text!a}: expected a date such as 2018-12-31.")
    return stamp


def parse_selector(model: str) -> str:
    """champion, as-of, or a version's number as plain digits.

    Raises:
        FinflowError: something else.
    """
    if model in ("champion", "as-of"):
        return model
    if model.isascii() and model.isdigit() and int(model) > 0:
        return str(int(model))
    raise FinflowError(f"--model {model!a}: expected champion, as-of, or a version's number.")
