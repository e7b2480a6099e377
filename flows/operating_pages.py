"""What a person reads at the end of the commands that operate finflow: one function a command."""

from __future__ import annotations

from typing import Any

Outcome = dict[str, Any]


def approve(outcome: Outcome) -> list[str]:
    from flows.pages import decision_line, waiting_lines

    return [decision_line(outcome), *waiting_lines(outcome["waiting"])]


reject = approve
