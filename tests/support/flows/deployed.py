"""The values of a definition that is deployed."""

from __future__ import annotations

from typing import Any

from tests.support import tiny_values


def live_values(**changes: Any) -> dict[str, Any]:
    """A definition whose source grows: its schedule begins active."""
    source = {"kind": "replay", "source": tiny_values()["source"], "start": "2017-01-03", "clock": "clock.txt"}
    return tiny_values(**{"name": "live", "source": source, "schedule": {"score": "after the close of XNYS"}, **changes})
