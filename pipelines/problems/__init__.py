"""Every kind of problem. To add one: its file here, and a line below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.problems.base import Problem
from pipelines.problems.classify import Classify
from pipelines.problems.forecast import Forecast
from pipelines.problems.generate import Generate
from pipelines.problems.outcome import Outcome
from pipelines.problems.risk import Risk
from pipelines.problems.volatility import Volatility
from pipelines.registered import Settings

if TYPE_CHECKING:
    from pipelines.definition import Definition

PROBLEMS: dict[str, type[Problem]] = {
    "forecast": Forecast,
    "volatility": Volatility,
    "risk": Risk,
    "classify": Classify,
    "generate": Generate,
    "outcome": Outcome,
}


def problem_settings() -> dict[str, type[Settings]]:
    return {kind: problem.Settings for kind, problem in PROBLEMS.items()}


def problem_of(definition: Definition) -> Problem:
    """The definition's problem, bound to its settings and window."""
    return PROBLEMS[definition.problem.kind](definition.problem, definition.window)
