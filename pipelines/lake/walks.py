"""The decisions of a walk forward (see `finflow.pipelines.backfill.walk_forward`): a table of their own, told apart by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from finflow.pipelines.lake.conflicts import kept_writing, retry_conflicts
from finflow.pipelines.lake.promotions import PromotionRow, Promotions, _frame

if TYPE_CHECKING:
    from finflow.pipelines.lake.lake import Lake

_Kept = tuple[PromotionRow, ...]


class WalkRecord(Promotions):
    """The decisions of a walk: as the promotions table, but of any generation of definition, code and data, told apart by key."""

    def __init__(self, lake: Lake, definition_name: str, every: str) -> None:
        super().__init__(lake, definition_name)
        self.table = f"walk-{every}/{definition_name}"
        self._read: tuple[int | None, _Kept] = (None, ())

    def snapshot(self) -> tuple[_Kept, int | None]:
        """As of the promotions table, but it is no chain: a walk can be made again from the data, and says nothing of who is champion."""
        version = self.lake.version(self.table)
        read = self._read
        if version != read[0]:
            read = self._read = (version, self._rows_at(version))
        return read[1], read[0]

    def of(self, key: str) -> PromotionRow | None:
        """The decision of that key; the row that names a version goes before the one that was recorded without."""
        found = [row for row in self.rows() if row.run_key == key]
        return max(found, key=lambda row: (row.version is not None, -row.sequence), default=None)

    def append(self, row: PromotionRow) -> PromotionRow:
        """Record a decision, unless another run of the walk has recorded the same meanwhile; the row that stands.

        Raises:
            ConflictError: others kept writing.
        """

        def attempt() -> PromotionRow:
            rows, version = self.snapshot()
            there = self.of(row.run_key)
            if there is not None and (there.version is not None or row.version is None):
                return there
            numbered = replace(row, sequence=len(rows) + 1, recorded_at=pd.Timestamp.now("UTC").isoformat())
            self.lake.append(self.table, _frame(numbered), expected_version=version)
            return numbered

        return retry_conflicts(attempt, kept_writing(self.table))


class DecidedBefore(Promotions):
    """The decisions of a walk before one of its periods: what the gate sees."""

    def __init__(self, record: WalkRecord, keys: Sequence[str]) -> None:
        super().__init__(record.lake, record.name)
        self._rows = tuple(row for row in map(record.of, keys) if row is not None)

    def snapshot(self) -> tuple[_Kept, int | None]:
        return self._rows, None
