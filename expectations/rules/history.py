"""There is enough history to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import codes
from finflow.expectations.rule import BatchRule, Finding, Mask, RowRule


def _lengths(batch: pd.DataFrame) -> np.ndarray:
    """Rows of each entity, by code: int64, [entities]."""
    entity = codes(batch)
    return np.bincount(entity[entity >= 0], minlength=len(batch["entity"].cat.categories))


@dataclass(frozen=True)
class EnoughHistory(BatchRule):
    """At least one entity has `sessions` rows: with less nothing can be learned."""

    sessions: int
    name = "enough_history"
    severity = "critical"
    stage = "series"
    remedy = "load more history, take a later as-of, or lower `minimum_history`"

    @property
    def statement(self) -> str:
        return f"an entity has at least {self.sessions:,} sessions"

    def fault(self, batch: pd.DataFrame) -> str | None:
        lengths = _lengths(batch)
        longest = int(lengths.max(initial=0))
        if longest >= self.sessions:
            return None
        who = f" ({batch['entity'].cat.categories[int(lengths.argmax())]})" if longest else ""
        lacking = self.sessions - longest
        return f"{self.sessions:,} sessions are needed, and the longest history{who} has {longest:,}: {lacking:,} more are needed"


@dataclass(frozen=True)
class ShortHistory(RowRule):
    """Each entity has `sessions` rows; a newly listed one does not yet, and the panel goes on."""

    sessions: int
    name = "no_short_history"
    severity = "warning"
    stage = "series"
    looks_ahead = True
    remedy = "nothing, if they were listed lately; else load their history"

    @property
    def statement(self) -> str:
        return f"every entity has at least {self.sessions:,} sessions"

    def broken(self, batch: pd.DataFrame) -> Mask:
        short = np.append(_lengths(batch) < self.sessions, False)
        return short[codes(batch)]

    def check(self, batch: pd.DataFrame) -> Finding:
        finding = super().check(batch)
        lengths = _lengths(batch)
        short = np.flatnonzero((lengths > 0) & (lengths < self.sessions))
        if not len(short):
            return finding
        names = [f"{batch['entity'].cat.categories[code]} has {lengths[code]:,}" for code in short[:3]]
        more = f" and {len(short) - 3:,} entities more" if len(short) > 3 else ""
        return Finding(finding.count, f"{self.sessions:,} sessions wanted: {'; '.join(names)}{more}", finding.rows)
