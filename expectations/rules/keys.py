"""Entity and time name one row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import KEYS, KNOWN_AT, NOT_VALUES, codes
from finflow.expectations.rule import Core, Mask, RowRule


@dataclass(frozen=True)
class KeyNotNull(RowRule):
    """A row says what it is about, and when."""

    name = "key_not_null"
    partly_core = True  # a blank name is none either
    severity = "row"
    statement = "entity and time are not missing"
    remedy = "fill entity and date at the source"

    def core(self, batch: pd.DataFrame) -> list[Core]:
        return [("ExpectColumnValuesToNotBeNull", {"column": column}) for column in KEYS]

    def broken(self, batch: pd.DataFrame) -> Mask:
        entity = codes(batch)
        blank = np.array([not str(name).strip() for name in batch["entity"].cat.categories] + [True], dtype=bool)
        return blank[entity] | batch["time"].isna().to_numpy()


@dataclass(frozen=True)
class UniqueKey(RowRule):
    """One row an entity and time (and revision: rows that became known at different instants correct each other).

    Of rows that agree in every value the first is kept. Where they disagree nothing says which is true, whatever their order in the file:
    all of them are broken.
    """

    name = "unique_key"
    severity = "row"
    statement = "entity and time together are unique among the rows that became known at once"
    remedy = "leave one row for each entity and date at the source"

    def core(self, batch: pd.DataFrame) -> list[Core]:
        columns = [*KEYS, *([KNOWN_AT] if KNOWN_AT in batch else [])]
        return [("ExpectCompoundColumnsToBeUnique", {"column_list": columns, "ignore_row_if": "never"})]

    def broken(self, batch: pd.DataFrame) -> Mask:
        entity, times = codes(batch), batch["time"].to_numpy().view("int64")
        again = np.zeros(len(batch), dtype=bool)
        again[1:] = (entity[1:] == entity[:-1]) & (times[1:] == times[:-1])
        if KNOWN_AT in batch:
            known_at = batch[KNOWN_AT].to_numpy(dtype="datetime64[us]")
            again[1:] &= known_at[1:] == known_at[:-1]
        if not again.any():
            return again
        group = np.cumsum(~again) - 1
        first = np.flatnonzero(~again)
        members = np.flatnonzero(np.bincount(group)[group] > 1)
        leaders = first[group[members]]
        differs = np.zeros(len(members), dtype=bool)
        for column in batch.columns:
            if column not in NOT_VALUES:
                here, there = batch[column].iloc[members].to_numpy(), batch[column].iloc[leaders].to_numpy()
                differs |= ~((here == there) | (pd.isna(here) & pd.isna(there)))
        conflict = np.zeros(len(first), dtype=bool)
        conflict[group[members[differs]]] = True
        return again | conflict[group]
