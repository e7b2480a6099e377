"""What a person reads at the end of the commands that operate finflow: one function a command."""

from __future__ import annotations

from typing import Any

Outcome = dict[str, Any]
