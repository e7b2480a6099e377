"""Columns that never change carry nothing to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import NOT_VALUES, codes, numeric
from finflow.expectations.rule import NAMED, BatchRule


@dataclass(frozen=True)
class NotConstant(BatchRule):
    """No number column keeps one value all through (for an entity, where `by_entity`); else no text column either."""

    by_entity: bool
    name = "not_constant"
    severity = "warning"
    stage = "series"
    remedy = "leave the column out of the features; a dead column may mean a dead feed"

    @property
    def statement(self) -> str:
        return "columns vary" + (" within every entity" if self.by_entity else "")

    def fault(self, batch: pd.DataFrame) -> str | None:
        if len(batch) < 2:
            return None
        entity = codes(batch) if self.by_entity else np.zeros(len(batch), dtype=np.int32)
        within = entity[1:] == entity[:-1]
        long = np.bincount(entity + 1, minlength=2)[1:] > 1
        faults = []
        for column, values in numeric(batch):
            moving = np.zeros(len(long), dtype=bool)
            moving[entity[1:][within & (values[1:] != values[:-1])]] = True
            dead = np.flatnonzero(long & ~moving)
            if len(dead):
                where = (
                    f" in {len(dead):,} of {len(long):,} entities ({batch['entity'].cat.categories[dead[0]]} ...)" if self.by_entity else ""
                )
                faults.append(f"{column} is {values[np.flatnonzero(entity == dead[0])[0]]:g} throughout{where}")
        for column in () if self.by_entity else batch.columns:
            if column not in NOT_VALUES and not pd.api.types.is_numeric_dtype(batch[column].dtype):
                texts = batch[column]
                if texts.notna().all() and texts.nunique() == 1:
                    faults.append(f"{column} is {str(texts.iloc[0])[:40]!a} throughout")
        return "; ".join(faults[:NAMED]) + (f"; and {len(faults) - NAMED:,} columns more" if len(faults) > NAMED else "") or None
