"""Which version waits for a person, and what became of those that waited: read off the promotions table, nothing else.

A version waits from its row `pending` until a person rejects it, a newer accepted version takes its place, or the champion changes: by its
own approval, or by a demotion or a rollback, after which the comparison it was accepted on no longer holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finflow.pipelines.core.manifests import JsonRecord

if TYPE_CHECKING:
    from finflow.pipelines.lake.promotions import PromotionRow

PENDING = "pending"
FIRST_APPROVAL = "first-approval"
APPROVED = "approved"
REJECTED = "rejected"
#: what moves the champion and makes nothing safer; a demotion and a rollback never wait
NEEDS_A_PERSON = ("promoted", "reference", "refreshed")


@dataclass(frozen=True)
class PendingVersion(JsonRecord):
    """A version that waits, as commands show it: since when, for how many people, who approved already, and how to decide."""

    version: int
    candidate: str
    proposed: str
    as_of: str
    since: str
    people: int
    approved_by: tuple[str, ...]
    approve: str
    reject: str


def pending_row(rows: Sequence[PromotionRow]) -> PromotionRow | None:
    """The row `pending` of the version that waits after `rows` (oldest first), or None."""
    for row in reversed(rows):
        if row.verdict == PENDING:
            return row
        if row.moves or row.verdict == REJECTED:
            return None
    return None


def approvals_of(rows: Sequence[PromotionRow], pending: PromotionRow) -> list[PromotionRow]:
    """The first approvals of a version that waits."""
    return [row for row in rows if row.sequence > pending.sequence and row.verdict == FIRST_APPROVAL and row.version == pending.version]


def last_proposal(rows: Sequence[PromotionRow]) -> PromotionRow | None:
    """The last row `pending` since the champion changed, whatever became of it."""
    for row in reversed(rows):
        if row.verdict == PENDING:
            return row
        if row.moves:
            return None
    return None


def describe_pending(name: str, rows: Sequence[PromotionRow]) -> PendingVersion | None:
    """What waits of the definition `name`, for a person to read."""
    row = pending_row(rows)
    if row is None:
        return None
    return PendingVersion(
        version=int(row.version or 0),
        candidate=row.candidate,
        proposed=str(row.evidence.get("proposed", "")),
        as_of=row.effective_as_of,
        since=row.recorded_at,
        people=2 if row.evidence.get("four_eyes") else 1,
        approved_by=tuple(str(one.evidence["by"]) for one in approvals_of(rows, row)),
        approve=command("approve", name, row.version),
        reject=command("reject", name, row.version),
    )


def no_champion(name: str, rows: Sequence[PromotionRow]) -> str:
    """That there is no champion, and what to do about it."""
    row = pending_row(rows)
    if row is None and rows and rows[-1].verdict == "refused":
        return (
            f"{name} has no champion: nothing that may stand passed its backtests, or the leakage check failed, in the last training: "
            f"finflow history {name}"
        )
    if row is None:
        return f"{name} has no champion yet: finflow train {name}"
    return f"{name} has no champion yet: version {row.version} waits for a person: {command('approve', name, row.version)}"


def command(word: str, name: str, version: int | None) -> str:
    """The line that decides."""
    return f"finflow {word} {name} {version} --by WHO --why TEXT"


def fate(rows: Sequence[PromotionRow], version: int) -> str | None:
    """What became of a version that once waited, in words ("was approved by Ann on 2024-03-01"); None if it never did."""
    proposed = [row for row in rows if row.verdict == PENDING and row.version == version]
    if not proposed:
        return None
    for row in rows:
        if row.sequence <= proposed[-1].sequence:
            continue
        on = f"on {row.recorded_at[:10]}"
        if row.verdict in (APPROVED, REJECTED) and row.version == version:
            return f"was {row.verdict} by {row.evidence.get('by')} {on}"
        if row.verdict == PENDING:
            return f"waits no longer: version {row.version} took its place {on}"
        if row.moves:
            return (
                f"waits no longer: version {row.version} became champion {on} ({row.verdict}, as of {row.effective_as_of[:10]}), and "
                f"this one was accepted against the champion before, as of {proposed[-1].effective_as_of[:10]}. Train again"
            )
    return "waits for a person"
