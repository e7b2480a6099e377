"""What a command answers, also where a flow answers for it."""

from __future__ import annotations

from typing import Any

from finflow.pipelines.core.errors import FinflowError

#: the values that a command prints with `--json`, by key
CommandOutcome = dict[str, Any]


def flow_outcome(answer: Any) -> CommandOutcome:
    """The outcome of a flow that was called, not scheduled.

    Raises:
        FinflowError: the flow ended as scheduled runs may (superseded, late): it took the command for one.
    """
    if not isinstance(answer, dict):
        raise FinflowError(f"the flow ended as {answer!r} instead of with an outcome: was the command started inside another flow run?")
    return answer
