"""What one command works in: the definition, the home, and what both together mean. Opened once and passed down."""

from __future__ import annotations

from dataclasses import dataclass

from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.definition import Definition, problem_of
from finflow.pipelines.definitions.loading import load_and_remember
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import Promotions
from finflow.pipelines.problems.base import Problem


@dataclass(frozen=True)
class Context:
    """A definition in a home. A stage asks it, and rebuilds nothing; threads may share it.

    Attributes:
        lake: the home's tables.
        problem: the definition's problem, bound to its settings and window.
        promotions: the decisions that say who is champion: the definition's own, or those of a walk forward.
    """

    definition: Definition
    home: Home
    lake: Lake
    problem: Problem
    promotions: Promotions

    @property
    def name(self) -> str:
        """The definition's."""
        return self.definition.name


def open_context(definition: Definition, home: Home) -> Context:
    """The context of a command about this definition in this home. Reads and writes nothing."""
    lake = Lake(home.lake)
    return Context(definition, home, lake, problem_of(definition), Promotions(lake, definition.name, home.heads))


def open_by_name(name: str, home: Home) -> Context:
    """`open_context` of the definition called `name` or in that file; raises as `load_and_remember`."""
    return open_context(load_and_remember(name, home), home)
