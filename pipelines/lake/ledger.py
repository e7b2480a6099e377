"""The ledger of backfills: what became of each date, for each way of choosing the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from finflow.pipelines.core.manifests import JsonRecord
from finflow.pipelines.lake.lake import literal

if TYPE_CHECKING:
    from finflow.pipelines.lake.lake import Lake

ALL_ENTITIES = ""


@dataclass(frozen=True)
class LedgerRow(JsonRecord):
    """One date. A date without a row is missing; a `done` one is stale when what it would read or use has changed since.

    Attributes:
        date: ISO date.
        selector: champion, as-of, a version's number, retrain-monthly or retrain-quarterly: how the model was chosen; with `-restated`
            behind it where rows were read as corrected since.
        entity: the one entity that was asked for, or "" for all.
        status: done | failed.
        version: the version that answered; 0: none did.
        context: observations that the version reads up to a date; the digest covers them.
        digest: of all windows of the date; "" if there was none.
        rows: prediction rows of the date by this version on these inputs.
        reason: why it failed.
        backfill_id: the backfill that settled it last.
        seconds: its share of the time that its chunk took.
    """

    date: str
    selector: str
    entity: str
    status: str
    version: int
    context: int
    digest: str
    rows: int
    reason: str
    backfill_id: str
    seconds: float

    def same_as(self, other: LedgerRow | None) -> bool:
        """Whether both say the same; when and how fast does not count."""
        names = ("date", "selector", "entity", "status", "version", "context", "digest", "rows", "reason")
        return other is not None and all(getattr(self, name) == getattr(other, name) for name in names)


_COLUMNS = ("selector", "entity", "status", "version", "context", "digest", "rows", "reason", "backfill_id", "seconds")


class Ledger:
    """The ledger of one definition: one row for each date, selector and entity asked for."""

    def __init__(self, lake: Lake, definition: str) -> None:
        self.lake = lake
        self.table = f"ledger/{definition}"

    def read(self, start: str, end: str, selector: str, entity: str | None) -> dict[str, LedgerRow]:
        """By ISO date, the rows from `start` to `end`, both included."""
        frame = self.lake.read(self.table, where=_where(start, end, selector, entity or ALL_ENTITIES))
        found = {}
        for row in frame.to_dict("records") if len(frame) else []:
            date = f"{row['time']:%Y-%m-%d}"
            kept = {name: row[name] for name in _COLUMNS}
            whole = {name: int(kept[name]) for name in ("version", "context", "rows")}
            found[date] = LedgerRow(date=date, **{**kept, **whole, "seconds": float(kept["seconds"])})
        return found

    def record(self, rows: list[LedgerRow]) -> int:
        """Put `rows` (all of one selector and entity) in the place of those of the same dates; rows that say nothing new are left alone.

        Returns:
            How many rows were written.

        Raises:
            ConflictError: others kept writing.
        """
        new = self._news(rows)
        if not new:
            return 0
        frame = pd.DataFrame([vars(row) for row in new])
        frame.insert(0, "time", pd.to_datetime(frame.pop("date")).astype("datetime64[us]"))
        frame["recorded_at"] = pd.Timestamp.now("UTC").as_unit("us")
        frame["period"] = frame["time"].dt.strftime("%Y")
        listed = ", ".join(literal(pd.Timestamp(row.date)) for row in new)
        where = _where(min(row.date for row in new), max(row.date for row in new), rows[0].selector, rows[0].entity)
        self.lake.replace(self.table, frame, f"{where} AND time IN ({listed})")
        return len(new)

    def _news(self, rows: list[LedgerRow]) -> list[LedgerRow]:
        """Those of `rows` that say what the table does not."""
        if not rows:
            return []
        dates = [row.date for row in rows]
        there = self.read(min(dates), max(dates), rows[0].selector, rows[0].entity)
        return [row for row in rows if not row.same_as(there.get(row.date))]


def _where(start: str, end: str, selector: str, entity: str) -> str:
    """The rows of a range of dates, one selector and one entity, as SQL."""
    first, last = literal(pd.Timestamp(start)), literal(pd.Timestamp(end))
    return (
        f"period >= '{start[:4]}' AND period <= '{end[:4]}' AND time >= {first} AND time <= {last} "
        f"AND selector = {literal(selector)} AND entity = {literal(entity)}"
    )
