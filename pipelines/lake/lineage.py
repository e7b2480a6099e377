"""The versions that led to the champion: the one made when its recipe was promoted, and each refresh of that since."""

from __future__ import annotations

from collections.abc import Sequence

from finflow.pipelines.lake.pending import PENDING
from finflow.pipelines.lake.promotions import PromotionRow, champion_row


def lineage(rows: Sequence[PromotionRow]) -> tuple[PromotionRow, ...]:
    """The rows that made them, the first version first and the champion's own last; none where there is no champion.

    Args:
        rows: all decisions, oldest first.
    """
    found: list[PromotionRow] = []
    champion = champion_row(rows)
    while champion is not None and champion.version is not None:
        place = next(place for place, row in enumerate(rows) if row.version == champion.version)
        found.append(rows[place])
        champion = champion_row(rows[:place]) if _is_refresh(rows[place]) else None
    return tuple(reversed(found))


def _is_refresh(maker: PromotionRow) -> bool:
    return maker.verdict == "refreshed" or (maker.verdict == PENDING and maker.evidence.get("proposed") == "refreshed")
