"""An outcome of two classes can be learned only where both came."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from finflow.expectations.rule import BatchRule

SHOWN = 5


@dataclass(frozen=True)
class BothClasses(BatchRule):
    """Among the known outcomes (a missing one is not known yet) are some of the values `positive`, as texts, and some others."""

    column: str
    positive: tuple[str, ...]
    name = "both_classes"
    severity = "critical"
    stage = "series"
    remedy = "load a span in which both came, map the column that holds the outcome, or correct `positive` in the problem"

    @property
    def statement(self) -> str:
        return f"known values of {self.column} are of both classes: {', '.join(self.positive)} and others"

    def fault(self, batch: pd.DataFrame) -> str | None:
        if self.column not in batch or batch.empty:
            return None
        texts = [as_text(value) for value in batch[self.column].dropna().unique()]
        if not texts:
            return f"no outcome is known: {self.column} is empty in all {len(batch):,} rows"
        of_last = [text for text in texts if text in self.positive]
        if of_last and len(of_last) < len(texts):
            return None
        shown = ", ".join(map(repr, sorted(texts)[:SHOWN])) + (f" and {len(texts) - SHOWN:,} more" if len(texts) > SHOWN else "")
        which = "of the last class" if of_last else f"none of the last class ({', '.join(map(repr, self.positive))})"
        return f"every known outcome is of one class: {self.column} holds {shown}, {'all ' if of_last else ''}{which}"


def as_text(value: object) -> str:
    """A cell as a definition names it: whole numbers have no decimal point."""
    if isinstance(value, str) or not hasattr(value, "__float__"):
        return str(value)
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)
