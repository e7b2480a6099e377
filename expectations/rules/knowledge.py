"""Nothing is known before it has happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import ENDS_AT, KNOWN_AT
from finflow.expectations.rule import Mask, RowRule


@dataclass(frozen=True)
class KnownAfterClose(RowRule):
    """No row is known before what it tells has happened: a bar not before its session closes, a row of a day or an instant not before it.

    A session closes as the calendar says, half days too. Without a calendar a bar's day ends at midnight of the source's `timezone` or of
    UTC, whichever is first; a table's row of a day may be known from the beginning of that day on.
    """

    name = "known_after_close"
    severity = "row"
    remedy = (
        "give `known_at` as the instant of publication, with its offset (a date alone is the end of that day), or leave it out; name the "
        "exchange's `calendar`, so that its closes are known; for estimates that are published before their period ends: `severity: "
        "{known_after_close: off}`"
    )

    @property
    def statement(self) -> str:
        return "no row is known before its session closes"

    def broken(self, batch: pd.DataFrame) -> Mask:
        if KNOWN_AT not in batch or ENDS_AT not in batch:
            return np.zeros(len(batch), dtype=bool)
        known_at = batch[KNOWN_AT].to_numpy(dtype="datetime64[us]")
        return np.asarray(known_at < batch[ENDS_AT].to_numpy(dtype="datetime64[us]"))

    def example(self, row: pd.Series) -> str:
        return f"known at {pd.Timestamp(row[KNOWN_AT]):%Y-%m-%d %H:%M} UTC, it ends at {pd.Timestamp(row[ENDS_AT]):%Y-%m-%d %H:%M} UTC"
