"""What a person writes on a command line, read or refused in words that name the option."""

from __future__ import annotations

import pandas as pd

from finflow.pipelines.core.errors import FinflowError

FIRST_YEAR, LAST_YEAR = 1700, 2200
ONLY = ("missing", "failed", "stale", "all")
RETRAIN_PERIODS = ("monthly", "quarterly")


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


def parse_only(only: str) -> str:
    """Which dates of a backfill run: missing, failed, stale or all.

    Raises:
        FinflowError: something else.
    """
    if only not in ONLY:
        raise FinflowError(f"--only {only!a}: expected one of {', '.join(ONLY)}.")
    return only


def parse_choice(model: str, retrain: str | None) -> str:
    """How a backfill chooses its model: champion, as-of, a version's number, retrain-monthly or retrain-quarterly.

    Raises:
        FinflowError: an option that is none, or both of them.
    """
    if retrain is None:
        return parse_selector(model)
    if retrain not in RETRAIN_PERIODS:
        raise FinflowError(f"--retrain {retrain!a}: expected {' or '.join(RETRAIN_PERIODS)}.")
    if model != "champion":
        raise FinflowError(f"--retrain {retrain} trains the models that answer, and --model {model} names one: give one of the two.")
    return f"retrain-{retrain}"
