"""Which pictures show what a problem's models answered: how each is called, what it is drawn of, and where the function stands."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Read = Literal["rows", "name", "samples", "candidates", "baselines", "best"]


@dataclass(frozen=True)
class Plot:
    """One picture of a training's test samples: `<name>.svg`, one a candidate, or one of all candidates beside each other.

    The function is given by its address, as models are in the zoo: it is imported when it draws, so that a problem imports nothing above it
    and a changed picture changes no digest of code.

    Attributes:
        name: of the file.
        caption: the line above it in the report; a candidate's own follows the candidate's name.
        draw: `package.module:function`, called with what `reads` names, in that order, and then the path of the SVG that it is to write.
        reads: what it is drawn of. `rows`: a candidate's predictions/<candidate>.parquet; `name`: that candidate; `samples`: the
            evaluation's samples.parquet; `candidates`: the rows of all that can be compared, by candidate, best first; `baselines`: the
            names of those that are baselines, a frozenset; `best`: the first of `candidates`.
        table: one of the problem's `tables`, handed before the rest; where the evaluation has no such table there is no picture.
    """

    name: str
    caption: str
    draw: str
    reads: tuple[Read, ...] = ("rows", "name")
    table: str | None = None

    @property
    def together(self) -> bool:
        """Whether one picture shows all candidates."""
        return "rows" not in self.reads

    def function(self) -> Callable[..., None]:
        """What draws it.

        Raises:
            ImportError, AttributeError: there is nothing at the address.
        """
        module, _, name = self.draw.partition(":")
        function: Callable[..., None] = getattr(importlib.import_module(module), name)
        return function


#: of a point forecast, and the quantiles around it where there are some
FORECASTS = Plot("forecasts", "forecast against actual", "finflow.pipelines.evaluation.plots.figures:plot_forecasts")
#: of quantiles
COVERAGE = Plot("coverage", "coverage", "finflow.pipelines.evaluation.plots.figures:plot_coverage")
