"""What a person writes on a command line, read or refused in words that name the option."""

from __future__ import annotations

import pandas as pd

from pipelines.errors import FinflowError

FIRST_YEAR, LAST_YEAR = 1700, 2200


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
    check_year(option, stamp)
    return stamp


def check_year(option: str, stamp: pd.Timestamp) -> None:
    """Refuse dates so far off that times in nanoseconds cannot hold them, or those around them: they would come out as others.

    Raises:
        FinflowError: the year is before 1700 or after 2200.
    """
    if not FIRST_YEAR <= stamp.year <= LAST_YEAR:
        raise FinflowError(f"{option} {stamp:%Y-%m-%d}: expected a date of the years {FIRST_YEAR} to {LAST_YEAR}.")


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
