"""What an evaluation may show and decide, by the looks at its data before it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sight:
    """What an evaluation may show and decide, by the looks at its data before it (see `finflow.pipelines.lake.looks`).

    Attributes:
        challenges: opened on these data before.
        unseen: test dates (of rows without a time: entities) that nobody had looked at.
        level: the lowest ever declared for these data; None: the definition's own.
        spent: the level spent on these data before.
        decided, first, last: how many dates the challenge is decided on, and the ISO dates of the first and the last; 0: none is.
        until: ISO date of the last outcome that is shown.
    """

    challenges: int = 0
    unseen: int = 0
    level: float | None = None
    spent: float = 0.0
    decided: int = 0
    first: str = ""
    last: str = ""
    until: str = ""

    def decided_units(self, *, stratified: bool) -> str:
        """On what a challenge was decided, where there had been a look before: in words."""
        if stratified:
            return f"{self.decided:,} entities that nobody had looked at"
        return f"{self.decided:,} test dates that nobody had looked at ({self.first} to {self.last})"
