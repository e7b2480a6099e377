"""What a rule is: one statement about a batch, how to find the rows that break it, and how grave that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Severity = Literal["critical", "row", "warning"]
Mask = NDArray[np.bool_]
EXAMPLES = 3
NAMED = 20
#: a class of great_expectations.expectations, and its arguments
Core = tuple[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Finding:
    """What a rule found.

    Attributes:
        count: rows that break it; 1 for a fault of the batch as a whole; 0 where the rule holds.
        detail: what was found, with examples; empty where the rule holds.
        rows: the rows that break it, bool, [rows]; None for a rule about the batch as a whole.
    """

    count: int
    detail: str
    rows: Mask | None


class Rule(ABC):
    """A rule about a prepared batch (see `finflow.expectations.batch.prepare`). A subclass is a frozen dataclass; its fields are JSON
    values.

    A subclass is known by its `name` from its definition on; a suite (bars.py, table.py) says where it applies.

    Attributes:
        name: unique, snake_case: what people write under `contract.severity`, and what quarantined rows carry.
        severity: its grade unless a definition says otherwise.
        stage: `rows` is judged on the batch as it came, `series` on the rows that the first stage left.
        remedy: what a person can do about it.
        partly_core: the rule demands more than the expectations that `core` names.
    """

    name: ClassVar[str]
    severity: ClassVar[Severity]
    stage: ClassVar[Literal["rows", "series"]] = "rows"
    remedy: ClassVar[str]
    partly_core: ClassVar[bool] = False
    known: ClassVar[dict[str, type[Rule]]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "name" in cls.__dict__:
            Rule.known[cls.name] = cls

    @property
    @abstractmethod
    def statement(self) -> str:
        """The rule as a sentence, for the Data Docs page."""

    @abstractmethod
    def check(self, batch: pd.DataFrame) -> Finding:
        """Judge a batch."""

    def core(self, batch: pd.DataFrame) -> list[Core]:
        """What says the same of this batch in Great Expectations' own expectations; none where it has no word for it, or a slow one.

        All of them hold if and only if `check` finds nothing (but for a rule that is `partly_core`).
        """
        return []

    @property
    def settings(self) -> dict[str, Any]:
        """The fields as JSON values: `type(rule)(**rule.settings)` is the same rule."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}  # type: ignore[call-overload]


class RowRule(Rule):
    """A rule that single rows keep or break, so that they can be quarantined.

    Attributes:
        looks_ahead: whether a row may break it because of rows after it. Such a rule never quarantines: what is known of a date would
            depend on what came later.
    """

    looks_ahead: ClassVar[bool] = False

    @abstractmethod
    def broken(self, batch: pd.DataFrame) -> Mask:
        """The rows that break it: bool, [rows]."""

    def example(self, row: pd.Series) -> str:
        """What is wrong with this row, in a few words; empty where entity and date say enough."""
        return ""

    def check(self, batch: pd.DataFrame) -> Finding:
        rows = self.broken(batch)
        count = int(np.count_nonzero(rows))
        if not count:
            return Finding(0, "", rows)
        places = np.flatnonzero(rows)[:EXAMPLES]
        examples = [self._place(batch.iloc[place]) for place in places]
        more = f" and {count - len(examples):,} more" if count > len(examples) else ""
        return Finding(count, f"{count:,} of {len(batch):,} rows: {'; '.join(examples)}{more}", rows)

    def _place(self, row: pd.Series) -> str:
        what = self.example(row)
        return f"{describe_key(row)}{f' ({what})' if what else ''}"


class BatchRule(Rule):
    """A rule about the batch as a whole: it stops the flow or warns, but has no rows to quarantine."""

    @abstractmethod
    def fault(self, batch: pd.DataFrame) -> str | None:
        """What is wrong, or None."""

    def check(self, batch: pd.DataFrame) -> Finding:
        fault = self.fault(batch)
        return Finding(int(fault is not None), fault or "", None)


def named(columns: Sequence[str]) -> str:
    """Some of the names for a message, not ten thousand."""
    return ", ".join(columns[:NAMED]) + (f" and {len(columns) - NAMED:,} more" if len(columns) > NAMED else "")


def between(column: str, **bounds: float | bool) -> Core:
    """That a column's values lie between bounds (missing ones aside)."""
    return "ExpectColumnValuesToBeBetween", {"column": column, **bounds}


def describe_key(row: pd.Series) -> str:
    """`NASDAQ 2001-09-17`; control and direction marks are escaped, so that a message stays one line."""
    entity, time = row["entity"], row["time"]
    shown = "entity missing" if pd.isna(entity) else str(entity)
    if not shown.isprintable():
        shown = ascii(shown)
    if pd.isna(time):
        return f"{shown} (time missing)"
    moment = pd.Timestamp(time)
    return f"{shown} {moment.date().isoformat() if moment == moment.normalize() else moment.isoformat()}"


@dataclass(frozen=True)
class Graded:
    """A rule with the severity it has in a definition."""

    rule: Rule
    severity: Severity


def grade(rules: list[Rule], overrides: dict[str, str]) -> list[Graded]:
    """Give each rule its severity; `off` drops it.

    Raises:
        ValueError: an override names no rule of the suite, or would quarantine by a rule that is not about rows or looks at later ones.
    """
    names = [rule.name for rule in rules]
    for name, severity in overrides.items():
        if name not in names:
            raise ValueError(f"severity names a rule {name!r}; this suite has {', '.join(sorted(names))}")
        if severity == "row" and not issubclass(Rule.known[name], RowRule):
            raise ValueError(f"severity of {name!r} cannot be `row`: the rule is about the batch as a whole; use critical, warning or off")
        if severity == "row" and Rule.known[name].looks_ahead:  # type: ignore[attr-defined]
            raise ValueError(
                f"severity of {name!r} cannot be `row`: it judges a row by rows after it, so a date's data would depend on its future; use "
                "critical, warning or off"
            )
    graded = [(rule, overrides.get(rule.name, rule.severity)) for rule in rules]
    return [Graded(rule, severity) for rule, severity in graded if severity != "off"]  # type: ignore[arg-type]
