"""Which version answers a date of a backfill."""

from __future__ import annotations

from dataclasses import dataclass

RETRAIN_PREFIX = "retrain-"


@dataclass(frozen=True)
class Choice:
    """The version for a date, or why there is none. `pending`: it is to be trained first."""

    version: int | None
    reason: str = ""
    pending: bool = False
