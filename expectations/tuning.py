"""What a person may set of the rules for bars."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """What suites are built from: the numbers of a definition's contract, and what is known of its batch.

    Attributes:
        columns: value columns that the definition reads.
        numbers: those of them that are read as numbers.
        outcome: the column of an outcome of two classes and its values, as texts, that mean the last one; or None.
        may_be_missing: whether these may lack a value (an outcome that is not known yet, an income that nobody asked for).
        present: value columns of the batch that hold at least one value.
        latest: the last instant that a row may be dated (ISO, UTC, naive).
        calendar: the code of the trading calendar, or None.
        minimum_history, maximum_gap, stale_days, jump, price_limit, allow_negative: as in the definition's contract.
    """

    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    outcome: tuple[str, tuple[str, ...]] | None
    may_be_missing: bool
    present: tuple[str, ...]
    latest: str
    calendar: str | None
    minimum_history: int
    maximum_gap: int
    stale_days: int
    jump: float
    price_limit: float | None
    allow_negative: bool
