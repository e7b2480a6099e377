"""Sessions that are missing between an entity's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import NO_SESSION, SESSION, codes
from finflow.expectations.rule import Finding, Mask, RowRule, describe_key


def sessions_since(batch: pd.DataFrame) -> np.ndarray:
    """Sessions from the entity's row before to this one: int64, [rows].

    1 for neighbours; 0 for an entity's first row, and where either date is no session.
    """
    entity, place = codes(batch), batch[SESSION].to_numpy().astype(np.int64)
    since = np.zeros(len(batch), dtype=np.int64)
    on_session = place != NO_SESSION
    both = (entity[1:] == entity[:-1]) & on_session[1:] & on_session[:-1]
    since[1:] = np.where(both, place[1:] - place[:-1], 0)
    return since


@dataclass(frozen=True)
class NoGaps(RowRule):
    """At most `maximum` sessions in a row are missing. Windows do not cross longer gaps, so this says where samples are lost."""

    maximum: int
    name = "no_gaps"
    severity = "warning"
    stage = "series"
    remedy = "load the missing sessions; a long suspension is fine"

    @property
    def statement(self) -> str:
        return f"at most {self.maximum} sessions in a row are missing"

    def broken(self, batch: pd.DataFrame) -> Mask:
        return sessions_since(batch) - 1 > self.maximum

    def check(self, batch: pd.DataFrame) -> Finding:
        rows = self.broken(batch)
        after = np.flatnonzero(rows)
        if not len(after):
            return Finding(0, "", rows)
        missing = sessions_since(batch)[after] - 1
        worst = np.argsort(-missing, kind="stable")[:3]
        examples = [f"{missing[place]:,} sessions before {describe_key(batch.iloc[after[place]])}" for place in worst]
        return Finding(len(after), f"{len(after):,} gaps, the longest: {'; '.join(examples)}", rows)
