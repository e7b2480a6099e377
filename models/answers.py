"""The forms that an answer may take, a class each: the shape of one, the mean of several, what it says in a few numbers.

How a network learns and gives them is in finflow.models.networks.learnt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from finflow.models.base import Kind, Prediction, Task
from finflow.models.class_codes import class_codes
from finflow.models.samples import Float32, Float64, Samples


class Answer(ABC):
    """One form of answer; it has no state. `values` are those of a `Prediction`, [n, *shape(task)]."""

    @abstractmethod
    def shape(self, task: Task) -> tuple[int, ...]:
        """Of one sample's values."""

    @abstractmethod
    def columns(self, task: Task, named: Callable[[float], str]) -> list[str]:
        """The names of one sample's values, flattened; `named` gives those of quantile levels."""

    @abstractmethod
    def signals(self, prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Float64]:
        """What it says, as numbers whose distribution can be watched: float64, [n] each, by name."""

    def average(self, values: Sequence[Float32]) -> Float32:
        """One answer of several for the same samples: here the mean. The sum is taken in float64, in the order given."""
        total = np.zeros(values[0].shape, dtype=np.float64)
        for one in values:
            total += one
        return (total / len(values)).astype(np.float32)

    def known(self, target: Float32, levels: tuple[float, ...]) -> Float32 | None:
        """The answer of one who knew the targets, [n, outputs]; None where it does not tell them one by one."""
        return None


class Averaged(Answer):
    """A form that the mean of targets answers in, too."""

    @abstractmethod
    def usual(self, samples: Samples, task: Task) -> Float64:
        """The answer that these labelled samples' targets give, whatever a sample looks like: float64, [*shape(task)]."""


class Quantiles(Answer):
    """[outputs, levels], ascending along levels. Means of ascending quantiles ascend (Vincent, 1912)."""

    def shape(self, task: Task) -> tuple[int, ...]:
        return task.outputs, len(task.levels)

    def columns(self, task: Task, named: Callable[[float], str]) -> list[str]:
        return [f"h{step + 1}_{named(level)}" for step in range(task.outputs) for level in task.levels]

    def signals(self, prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Float64]:
        """`median` and `width` (of the widest central interval) at the last output."""
        last, levels = prediction.values.astype(np.float64)[:, -1, :], prediction.levels
        median = {"median": last[:, levels.index(0.5)]} if 0.5 in levels else {}
        pairs = ((number, _mirrored(levels, level)) for number, level in enumerate(levels) if level < 0.5)
        lower, upper = next(((low, high) for low, high in pairs if high is not None), (None, None))
        return median if lower is None or upper is None else {**median, "width": last[:, upper] - last[:, lower]}

    def known(self, target: Float32, levels: tuple[float, ...]) -> Float32:
        return np.repeat(target[:, :, None], len(levels), axis=2)


class Scores(Averaged):
    """[outputs], of any scale."""

    def shape(self, task: Task) -> tuple[int, ...]:
        return (task.outputs,)

    def columns(self, task: Task, named: Callable[[float], str]) -> list[str]:
        return [f"h{step + 1}" for step in range(task.outputs)]

    def signals(self, prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Float64]:
        """Their mean, `score`."""
        return {"score": prediction.values.astype(np.float64).mean(axis=1)}

    def usual(self, samples: Samples, task: Task) -> Float64:
        return samples.targets.astype(np.float64).mean(axis=0)


class Variances(Scores):
    """[outputs], positive, in the target's unit. Their errors are factors: they are averaged in logarithms (a geometric mean)."""

    def signals(self, prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Float64]:
        """`log_variance` of the first output."""
        with np.errstate(all="ignore"):
            return {"log_variance": np.log(prediction.values.astype(np.float64)[:, 0])}

    def average(self, values: Sequence[Float32]) -> Float32:
        total = np.zeros(values[0].shape, dtype=np.float64)
        for one in values:
            total += np.log(one.astype(np.float64))
        return np.exp(total / len(values)).astype(np.float32)

    def known(self, target: Float32, levels: tuple[float, ...]) -> Float32:
        return target


class Probabilities(Averaged):
    """[classes], summing to 1; a target is a class's position."""

    def shape(self, task: Task) -> tuple[int, ...]:
        return (len(task.classes),)

    def columns(self, task: Task, named: Callable[[float], str]) -> list[str]:
        return list(task.classes)

    def signals(self, prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Float64]:
        """Each class but the first, by its name."""
        values = prediction.values.astype(np.float64)
        return {name: values[:, number] for number, name in enumerate(classes) if number or len(classes) == 1}

    def usual(self, samples: Samples, task: Task) -> Float64:
        """The base rates. Raises FitFailure: a target is no class."""
        return np.bincount(class_codes(samples, task), minlength=len(task.classes)) / len(samples)


class Paths(Answer):
    """[paths, outputs]. Of several answers each gives its share of the paths in turn, so that all are equally many draws."""

    def shape(self, task: Task) -> tuple[int, ...]:
        return task.paths, task.outputs

    def columns(self, task: Task, named: Callable[[float], str]) -> list[str]:
        return [f"path{path + 1}_h{step + 1}" for path in range(task.paths) for step in range(task.outputs)]

    def signals(self, prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Float64]:
        """`mean` and `deviation` over the paths at the last output."""
        last = prediction.values.astype(np.float64)[:, :, -1]
        return {"mean": last.mean(axis=1), "deviation": last.std(axis=1)}

    def average(self, values: Sequence[Float32]) -> Float32:
        mixed = values[0].copy()
        for number, one in enumerate(values):
            mixed[:, number :: len(values)] = one[:, number :: len(values)]
        return mixed


ANSWERS: Mapping[Kind, Answer] = {
    "quantiles": Quantiles(),
    "probabilities": Probabilities(),
    "scores": Scores(),
    "paths": Paths(),
    "variances": Variances(),
}


def _mirrored(levels: Sequence[float], level: float) -> int | None:
    """The position of 1 - level."""
    return next((number for number, other in enumerate(levels) if abs(other + level - 1.0) < 1e-9), None)
