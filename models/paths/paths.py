"""What models that answer with sample paths share: the check of the task, draws that depend on a sample alone, standardised past moves.

A path is the cumulative sum of increments (log returns) from the sample's time on: float32, [n, paths, outputs].
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.arrays import FittedTogether
from finflow.models.base import Prediction, Task
from finflow.models.errors import FitFailure
from finflow.models.reading import chunks, known_rows, past
from finflow.models.samples import Float64, Samples

#: a drawn step is at most so many of its deviations: an explosion of a recursion is no scenario
LARGEST_STEP = 50.0
#: increments below which nothing is learnt from an entity
FEWEST = 100
#: increments that are drawn at once
DRAWN_AT_ONCE = 4_000_000


def check_paths(task: Task, who: str) -> None:
    """Refuse a task that a model of paths cannot answer.

    Raises:
        FitFailure: the task asks for other than paths, or has no increments.
    """
    if task.kind != "paths" or task.increment is None or task.paths < 1:
        increments = "" if task.increment else " and has no increments"
        raise FitFailure(
            f"{who} answers sample paths (`problem: {{kind: generate}}`); this problem asks for {task.kind}{increments}: leave it out of "
            "this definition"
        )


def generators(past_increments: Float64, seed: int) -> Iterator[np.random.Generator]:
    """One generator a sample, seeded by its own past increments, float64 [n, context]: what is drawn for a sample depends on it alone.

    So two entities with one and the same past have one and the same draws.
    """
    # one NaN for all: those of a failed logarithm and of an absent row differ in their bits
    for row in np.where(np.isnan(past_increments), np.nan, past_increments):
        digest = hashlib.sha256(row.astype(np.float32).tobytes()).digest()
        yield np.random.Generator(np.random.Philox([seed, int.from_bytes(digest[:8], "little")]))


def training_series(samples: Samples, task: Task) -> dict[int, Float64]:
    """By entity code, every known increment that these samples may read, oldest first: float64.

    Raises:
        FitFailure: there are fewer than FEWEST, or they do not vary.
    """
    assert task.increment is not None
    position = samples.column(task.increment)
    found = {}
    for entity, rows in zip(np.unique(samples.index.entity), known_rows(samples), strict=True):
        values = samples.observations.values[rows, position].astype(np.float64)
        values = values[np.isfinite(values)]
        if len(values) >= FEWEST and values.std() > 0:
            found[int(entity)] = values
    if not found:
        raise FitFailure(f"no entity has {FEWEST} increments that vary in the training part: there is nothing to draw paths from")
    return found


def long_run_deviation(past_increments: Float64, otherwise: float) -> Float64:
    """float64, [n]: the standard deviation of each row's known increments [n, context]; `otherwise` where they do not vary."""
    known = np.isfinite(past_increments)
    count = np.maximum(known.sum(axis=1), 1)
    values = np.where(known, past_increments, 0.0)
    mean = values.sum(axis=1) / count
    deviation = np.sqrt((np.where(known, past_increments - mean[:, None], 0.0) ** 2).sum(axis=1) / count)
    return np.where(deviation > 0, deviation, otherwise)


class PathModel(FittedTogether):
    """A model that draws `task.paths` paths a sample; its state is one safetensors file of float64 arrays."""

    @abstractmethod
    def steps(self, past: Float64, state: dict[str, Float64]) -> Float64:
        """float64, [n, paths, outputs]: increments drawn after past ones, [n, context]; a row's bits depend on that row alone."""

    def answer(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        return self.steps(past_increments(samples, self.task, self.context), state)

    def check_task(self) -> None:
        check_paths(self.task, type(self).__name__)

    def predict(self, samples: Samples) -> Prediction:
        """Paths, float32, [n, task.paths, outputs].

        Raises:
            RuntimeError: the model was neither fitted nor loaded.
        """
        state = self._fitted()
        return drawn_in_parts(samples, self.task, lambda part: self.answer(part, state))


def drawn_in_parts(samples: Samples, task: Task, draw: Callable[[Samples], NDArray[Any]]) -> Prediction:
    """Paths of increments that are drawn a part of the samples at a time, so that memory grows with the part."""
    values = np.empty((len(samples), task.paths, task.outputs), dtype=np.float32)
    start = 0
    for part in chunks(samples, max(1, DRAWN_AT_ONCE // (task.paths * task.outputs))):
        values[start : start + len(part)] = np.cumsum(draw(part), axis=2, dtype=np.float64)
        start += len(part)
    return Prediction("paths", values)


def past_increments(samples: Samples, task: Task, context: int) -> Float64:
    """float64, [n, context]: the increments up to each sample's row, oldest first; NaN before an entity's first."""
    assert task.increment is not None
    return past(samples, task.increment, context)
