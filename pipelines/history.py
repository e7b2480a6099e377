"""Every decision about a definition, oldest first, with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.definition import Definition
from pipelines.home import Home

if TYPE_CHECKING:
    from pipelines.promotions import PromotionRow


def history(definition: Definition, home: Home) -> list[dict[str, Any]]:
    """The rows of the promotions table as JSON-able values; times as ISO text."""
    from pipelines.lake import Lake
    from pipelines.promotions import Promotions

    return [as_values(row) for row in Promotions(Lake(home.lake), definition.name).rows()]


def as_values(row: PromotionRow) -> dict[str, Any]:
    """One decision as JSON-able values."""
    values: dict[str, Any] = row.to_dict()
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in values.items()}
