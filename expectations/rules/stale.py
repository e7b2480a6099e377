"""Prices that stand still: a feed that died, or a series filled forward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import codes, numeric, traded
from finflow.expectations.rule import Finding, Mask, RowRule, describe_key


@dataclass(frozen=True)
class NotStale(RowRule):
    """Fewer than `days` equal closes in a row.

    Suspended days (no volume) do not count; closes of successive days at a price limit differ, so they are no such run.
    """

    days: int
    name = "not_stale"
    severity = "warning"
    stage = "series"
    looks_ahead = True
    remedy = "check the feed over these dates; raise `stale_days` where the price is pegged"

    @property
    def statement(self) -> str:
        return f"fewer than {self.days} equal closes in a row, suspensions aside"

    def broken(self, batch: pd.DataFrame) -> Mask:
        rows = np.zeros(len(batch), dtype=bool)
        for run in self._runs(batch):
            rows[run] = True
        return rows

    def check(self, batch: pd.DataFrame) -> Finding:
        runs = self._runs(batch)
        if not runs:
            return Finding(0, "", np.zeros(len(batch), dtype=bool))
        longest = sorted(runs, key=len, reverse=True)[:3]
        closes = batch["close"].to_numpy()
        examples = [f"{describe_key(batch.iloc[run[0]])} and the next {len(run) - 1} at {closes[run[0]]:g}" for run in longest]
        return Finding(
            sum(len(run) for run in runs), f"{len(runs):,} runs of equal closes, the longest: {'; '.join(examples)}", self.broken(batch)
        )

    def _runs(self, batch: pd.DataFrame) -> list[np.ndarray]:
        """Positions of each run of at least `days` rows."""
        closes = dict(numeric(batch, ["close"]))
        if "close" not in closes:
            return []
        open_days = np.flatnonzero(traded(batch))
        entity, close = codes(batch)[open_days], closes["close"][open_days]
        still = np.zeros(len(open_days), dtype=bool)
        still[1:] = (entity[1:] == entity[:-1]) & (close[1:] == close[:-1])
        starts = np.flatnonzero(~still)
        lengths = np.diff(np.append(starts, len(still)))
        return [open_days[starts[run] : starts[run] + lengths[run]] for run in np.flatnonzero(lengths >= self.days)]
