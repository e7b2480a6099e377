"""The batch has rows, the columns it needs, and the types they must have."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from finflow.expectations.batch import KEYS, numeric
from finflow.expectations.rule import NAMED, BatchRule, Core, describe_key, named


@dataclass(frozen=True)
class NotEmpty(BatchRule):
    """There are rows."""

    name = "not_empty"
    severity = "critical"
    statement = "the batch has rows"
    remedy = "read a source that has rows, or take a later as-of"

    def core(self, batch: pd.DataFrame) -> list[Core]:
        return [("ExpectTableRowCountToBeBetween", {"min_value": 1})]

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
        return f"there are columns {named((*KEYS, *self.required))}"

    def core(self, batch: pd.DataFrame) -> list[Core]:
        if len(batch.columns) > NAMED:  # its answer would name every column
            return []
        return [("ExpectTableColumnsToMatchSet", {"column_set": list(dict.fromkeys((*KEYS, *self.required))), "exact_match": False})]

    def fault(self, batch: pd.DataFrame) -> str | None:
        missing = [column for column in (*KEYS, *self.required) if column not in batch]
        if not missing:
            return None
        there = [str(column) for column in batch.columns if not str(column).startswith("__")]
        return f"no column {named(missing)}; there are {named(there)}"


@dataclass(frozen=True)
class Types(BatchRule):
    """Dates are dates, and the columns that the definition reads are numbers."""

    numbers: tuple[str, ...]
    name = "types"
    severity = "critical"
    remedy = "have the source read the column as numbers (decimal mark, thousands mark, text for missing values), or use it as a category"

    @property
    def statement(self) -> str:
        if not self.numbers:
            return "time is a date"
        return f"time is a date; {named(self.numbers)} {'is a number' if len(self.numbers) == 1 else 'are numbers'}"

    def fault(self, batch: pd.DataFrame) -> str | None:
        faults = []
        if not pd.api.types.is_datetime64_any_dtype(batch["time"].dtype):
            faults.append(f"time is {batch['time'].dtype}, not a date")
        numeric_columns = {column for column, _ in numeric(batch, self.numbers)}
        others = [column for column in self.numbers if column in batch and column not in numeric_columns and batch[column].notna().any()]
        faults += [f"{column} is {batch[column].dtype}, not a number{_first_text(batch, column)}" for column in others[:NAMED]]
        faults += [f"and {len(others) - NAMED:,} columns more"] if len(others) > NAMED else []
        return "; ".join(faults) or None


def _first_text(batch: pd.DataFrame, column: str) -> str:
    """Where the first value is that cannot be read as a number; empty where all can."""
    values = batch[column]
    words = values.notna() & pd.to_numeric(values, errors="coerce").isna()
    if not words.any():
        return ""
    place = int(words.to_numpy().argmax())
    share = f"{int(words.sum()):,} of {int(values.notna().sum()):,} values are words"
    return f" ({share}, first {str(values.iloc[place])[:40]!a} of {describe_key(batch.iloc[place])})"


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
