"""What a person asks of a backfill."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackfillRequest:
    """Which dates, of which entity, by which model, and how they are filled; checked by `plan_backfill`.

    Attributes:
        start, end: dates (ISO text), both included.
        entity: only this one.
        only: which dates run: missing, failed, stale, or all that have a model.
        model: champion (today's, for all dates), as-of (the version effective on each date), or a version's number.
        newest_first: begin with the newest date.
        max_active: groups of dates that may run at the same time; the rows are the same.
        retrain: monthly or quarterly: dates of a period are answered by a model trained as of its start (see
            `finflow.pipelines.backfill.walk_forward`).
        restated: read rows as corrected since; such rows are no history, and kept apart.
    """

    start: str
    end: str
    entity: str | None = None
    only: str = "missing"
    model: str = "champion"
    newest_first: bool = False
    max_active: int = 1
    retrain: str | None = None
    restated: bool = False
