"""So many broken rows that the file is at fault, not the rows."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from finflow.expectations.rule import BatchRule

# A handful of bad rows is a handful of bad rows, however short the history.
TOLERATED = 5


@dataclass(frozen=True)
class FewQuarantined(BatchRule):
    """Quarantine took at most `maximum` of the rows (by entity and time: a copy that is dropped takes nothing), or five of them."""

    lost: int
    rows: int
    maximum: float
    name = "few_quarantined"
    severity = "critical"
    stage = "series"
    remedy = "correct the source (see the other rules), or raise `maximum_quarantined`"

    @property
    def statement(self) -> str:
        return f"quarantine takes at most {self.maximum:.1%} of the rows"

    def fault(self, batch: pd.DataFrame) -> str | None:
        if self.lost <= max(TOLERATED, self.maximum * self.rows):
            return None
        return f"{self.lost:,} of {self.rows:,} rows ({self.lost / self.rows:.1%}) broke a rule about rows; at most {self.maximum:.1%} may"
