"""Every kind of problem. To add one: its file here, and a line below."""

from __future__ import annotations

from finflow.pipelines.core.settings import Settings
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.problems.classify import Classify
from finflow.pipelines.problems.forecast import Forecast
from finflow.pipelines.problems.generate import Generate
from finflow.pipelines.problems.outcome import Outcome
from finflow.pipelines.problems.risk import Risk
from finflow.pipelines.problems.volatility import Volatility

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
