"""Every decision about a definition, oldest first, with its reason."""

from __future__ import annotations

from typing import Any

from pipelines.definition import Definition
from pipelines.home import Home


def history(definition: Definition, home: Home) -> list[dict[str, Any]]:
    """The rows of the promotions table as JSON-able values; instants as ISO text, in UTC."""
    from pipelines.lake import Lake
    from pipelines.promotions import Promotions

    return Promotions(Lake(home.lake), definition.name).history()
