"""What a problem says of its report: pictures whose functions are there, and metrics that it has."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from finflow.pipelines.problems import PROBLEMS
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.problems.plots import Plot
from finflow.pipelines.settings.parts import Window

LEVELS = {"levels": [0.05, 0.5, 0.95]}
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "forecast": [{}],
    "volatility": [{}, LEVELS],
    "risk": [{}],
    "classify": [{}],
    "generate": [{}],
    "outcome": [{"column": "defaulted", "positive": ["1"]}],
}
PROBLEM = [problem for kind, many in SETTINGS.items() for problem in ((kind, values) for values in many)]


def problem_of(kind: str, values: dict[str, Any]) -> Problem:
    horizon = 1 if kind == "risk" else 2
    return PROBLEMS[kind](PROBLEMS[kind].Settings.model_validate(values), Window(length=1, horizon=horizon))


def test_every_kind_is_tried() -> None:
    assert set(SETTINGS) == set(PROBLEMS)


@pytest.mark.parametrize(("kind", "values"), PROBLEM)
def test_every_picture_has_a_function_that_takes_what_it_reads(kind: str, values: dict[str, Any]) -> None:
    plots = problem_of(kind, values).plots
    assert plots
    assert len({plot.name for plot in plots} | {"leaderboard", "losses", "skill"}) == len(plots) + 3, "each is a file of its own"
    for plot in plots:
        taken = [*(["table"] if plot.table else []), *plot.reads, "path"]
        assert len(inspect.signature(plot.function()).parameters) == len(taken), plot


def test_a_picture_of_all_candidates_is_told_from_one_a_candidate() -> None:
    together = {plot.name for plot in problem_of("outcome", SETTINGS["outcome"][0]).plots if plot.together}
    assert together == {"reliability", "ranking", "gains", "costs", "fairness", "stability"}


def test_an_address_without_a_function_is_an_error() -> None:
    with pytest.raises(AttributeError, match="plot_nothing"):
        Plot("nothing", "nothing", "finflow.pipelines.problems.plots:plot_nothing").function()
