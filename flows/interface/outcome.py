"""What a command answers, in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class ShownOutcome(dict[str, Any]):
    """The values that the command prints with `--json`, by key; shown as the page that it prints without."""

    def __init__(self, values: Mapping[str, Any], page: Callable[[dict[str, Any]], list[str]]) -> None:
        super().__init__(values)
        self._page = page

    def __repr__(self) -> str:
        return "\n".join(self._page(self))
