"""Numbers are there, and are numbers that can be worked with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import NOT_VALUES, numeric
from finflow.expectations.rule import Core, Mask, RowRule, between, named

# Beyond any price, volume or turnover; and its square still fits in float32 (3.4e38), in which models work.
LARGEST = 1e18


@dataclass(frozen=True)
class NotMissing(RowRule):
    """The columns that the definition reads have a value."""

    columns: tuple[str, ...]
    name = "not_missing"
    severity = "row"
    remedy = "fill the values at the source, or leave the dates out"

    @property
    def statement(self) -> str:
        return f"{named(self.columns)} {'is' if len(self.columns) == 1 else 'are'} not missing"

    def core(self, batch: pd.DataFrame) -> list[Core]:
        return [("ExpectColumnValuesToNotBeNull", {"column": column}) for column in self.columns if column in batch]

    def broken(self, batch: pd.DataFrame) -> Mask:
        rows = np.zeros(len(batch), dtype=bool)
        for column in self.columns:
            if column in batch:
                rows |= batch[column].isna().to_numpy()
        return rows

    def example(self, row: pd.Series) -> str:
        return ", ".join(column for column in self.columns if column in row.index and pd.isna(row[column]))


@dataclass(frozen=True)
class Finite(RowRule):
    """No infinite number, and none so large that it can only be an error (1e308, an overflow, a key in the wrong column)."""

    name = "finite"
    severity = "row"
    remedy = "correct the numbers at the source"

    @property
    def statement(self) -> str:
        return f"numbers are finite and at most {LARGEST:.0e} in size"

    def core(self, batch: pd.DataFrame) -> list[Core]:
        return [between(column, min_value=-LARGEST, max_value=LARGEST) for column, _ in numeric(batch)]

    def broken(self, batch: pd.DataFrame) -> Mask:
        rows = np.zeros(len(batch), dtype=bool)
        for _, values in numeric(batch):
            rows |= np.abs(values) > LARGEST
        return rows

    def example(self, row: pd.Series) -> str:
        numbers = {key: value for key, value in row.items() if key not in NOT_VALUES and isinstance(value, (int, float))}
        return ", ".join(f"{key} {value:g}" for key, value in numbers.items() if abs(value) > LARGEST)
