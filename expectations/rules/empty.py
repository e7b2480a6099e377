"""Columns without a single value."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from finflow.expectations.rule import BatchRule, named


@dataclass(frozen=True)
class NoEmptyColumn(BatchRule):
    """Each of the columns that the definition reads holds a value in some row: an empty one is a lost join or a wrong mapping."""

    columns: tuple[str, ...]
    name = "no_empty_column"
    severity = "warning"
    stage = "series"
    remedy = "check the source and `columns`; leave the column out of the features where there is nothing in it"

    @property
    def statement(self) -> str:
        return f"there is a value in {named(self.columns)}"

    def fault(self, batch: pd.DataFrame) -> str | None:
        if batch.empty:
            return None
        empty = [column for column in self.columns if column in batch and batch[column].isna().all()]
        return f"{named(empty)} {'is' if len(empty) == 1 else 'are'} empty in all {len(batch):,} rows" if empty else None
