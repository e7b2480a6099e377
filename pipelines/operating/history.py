"""Every decision about a definition, oldest first, with its reason; and what waits for a person."""

from __future__ import annotations

from typing import Any

from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.pending import describe_pending
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.training.looking import looks_at


def history(context: Context) -> dict[str, Any]:
    """Plain JSON values.

    Returns:
        decisions: the rows of the promotions table, instants as ISO text in UTC; of what was compared on sealed dates too
            (`evidence.safety`) only where it demoted somebody.
        waiting: the version that waits, and the commands that decide (see `pending.PendingVersion`); None if none does.
    """
    rows = context.promotions.rows()
    waiting = describe_pending(context.name, rows)
    return {"decisions": [_shown(row) for row in rows], "waiting": None if waiting is None else waiting.to_dict()}


def _shown(row: PromotionRow) -> dict[str, Any]:
    hidden = () if row.verdict == "demoted" else ("safety",)
    return {**row.to_dict(), "evidence": {key: value for key, value in row.evidence.items() if key not in hidden}}


def looks(context: Context) -> dict[str, Any]:
    """Every look at the definition's data, oldest first, whatever definition it went by (see `finflow.pipelines.lake.looks.Look`).

    Returns:
        looks: plain JSON values.
    """
    return {"looks": [look.to_dict() for look in looks_at(context)]}
