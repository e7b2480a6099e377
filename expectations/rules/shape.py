"""The batch has rows, the columns it needs, and the types they must have."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from expectations.batch import KEYS, numeric
from expectations.rule import BatchRule


@dataclass(frozen=True)
class NotEmpty(BatchRule):
    """There are rows."""

    name = "not_empty"
    severity = "critical"
    remedy = "read a source that has rows, or take a later as-of"

    @property
    def statement(self) -> str:
        return "the batch has rows"

    def fault(self, batch: pd.DataFrame) -> str | None:
        return None if len(batch) else "no row is known by the as-of"


@dataclass(frozen=True)
class Columns(BatchRule):
    """Every column that the definition reads is there."""

    required: tuple[str, ...]
    name = "columns"
    severity = "critical"
    remedy = "map the source's column to the missing name (source.columns)"

    @property
    def statement(self) -> str:
        return f"there are columns {', '.join((*KEYS, *self.required))}"

    def fault(self, batch: pd.DataFrame) -> str | None:
        missing = [column for column in (*KEYS, *self.required) if column not in batch]
        if not missing:
            return None
        there = [str(column) for column in batch.columns if not str(column).startswith("__")]
        return f"no column {', '.join(missing)}; there are {', '.join(there)}"


@dataclass(frozen=True)
class Types(BatchRule):
    """Dates are dates, and the columns that the definition reads are numbers."""

    numbers: tuple[str, ...]
    name = "types"
    severity = "critical"
    remedy = "have the source read the column as numbers (decimal mark, thousands mark, text for missing values)"

    @property
    def statement(self) -> str:
        return f"time is a date; {', '.join(self.numbers)} {'is a number' if len(self.numbers) == 1 else 'are numbers'}"

    def fault(self, batch: pd.DataFrame) -> str | None:
        faults = []
        if not pd.api.types.is_datetime64_any_dtype(batch["time"].dtype):
            faults.append(f"time is {batch['time'].dtype}, not a date")
        found = {column for column, _ in numeric(batch, self.numbers)}
        faults += [f"{column} is {batch[column].dtype}, not a number" for column in self.numbers if column in batch and column not in found]
        return "; ".join(faults) or None


@dataclass(frozen=True)
class BarColumns(BatchRule):
    """A bar is complete; where it is not, the rules about what is missing cannot speak."""

    name = "bar_columns"
    severity = "warning"
    remedy = "map open, high, low and volume if the source has them"
    wanted = ("open", "high", "low", "close", "volume")

    @property
    def statement(self) -> str:
        return f"bars have {', '.join(self.wanted)}"

    def fault(self, batch: pd.DataFrame) -> str | None:
        present = {column for column, values in numeric(batch, self.wanted) if not pd.isna(values).all()}
        absent = [column for column in self.wanted if column not in present]
        return f"no values in {', '.join(absent)}: the rules about them were not checked" if absent else None
