"""What the classical forecasts of variances share: the past they read, how they are fitted, asked, saved and loaded.

A day's own variance reaches a model as its logarithm (`task.log_variance`) and its log return as `task.move`. Everything is pooled over
entities, because a served model is asked about windows alone.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np

from finflow.models.arrays import ArrayModel
from finflow.models.base import FitReport, Hardware, Prediction, Task
from finflow.models.errors import FitFailure
from finflow.models.reading import chunks, labelled_together, past
from finflow.models.samples import Float64, Samples


def check_variances(task: Task, name: str) -> None:
    """Raises FitFailure: the task asks for other than variances or their quantiles, or does not say where the past ones are."""
    if task.kind not in ("variances", "quantiles") or task.log_variance is None or task.move is None:
        raise FitFailure(f"{name} forecasts variances, and this problem asks for {task.kind}: use it with `problem: {{kind: volatility}}`")


def with_variances(samples: Samples, task: Task) -> Samples:
    """The samples with variances as targets; where the task asks for quantiles, their targets are the logarithms."""
    if task.kind != "quantiles":
        return samples
    return replace(samples, index=replace(samples.index, target=np.exp(samples.index.target)))


def past_log_variance(samples: Samples, task: Task, length: int) -> Float64:
    """float64, [n, length], oldest first; NaN before an entity's first row."""
    assert task.log_variance is not None
    return past(samples, task.log_variance, length)


def past_moves(samples: Samples, task: Task, length: int) -> Float64:
    """float64, [n, length], oldest first: log returns; NaN before an entity's first row."""
    assert task.move is not None
    return past(samples, task.move, length)


class VarianceModel(ArrayModel):
    """A classical forecast of variances; the state is one safetensors file of float64 arrays.

    Where quantiles are asked for, they are the logarithm of the forecast plus the quantiles of what it missed in training.
    """

    @abstractmethod
    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        """What is learnt from labelled samples of variances, as arrays by name, and notes for the report."""

    @abstractmethod
    def variances(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        """float64, [n, outputs], positive; a row's bits depend on that row alone."""

    def answer(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        variances = self.variances(samples, state)
        return variances if self.task.kind == "variances" else np.log(variances)[:, :, None] + state["missed"]

    def check_task(self) -> None:
        check_variances(self.task, type(self).__name__)

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        self.check_task()
        samples = labelled_together(train, validation)
        state, notes = self.fit_state(with_variances(samples, self.task))
        if self.task.kind == "quantiles":
            forecasts = np.concatenate([self.variances(part, state) for part in chunks(samples)])
            missed = samples.targets.astype(np.float64) - np.log(forecasts)
            state = {**state, "missed": np.quantile(missed, self.task.levels, axis=0).T}  # [outputs, levels]
        self.state = state
        parameters = sum(array.size for array in state.values())
        return FitReport(parameters=parameters, notes={**notes, "samples": len(samples)})

    def predict(self, samples: Samples) -> Prediction:
        levels = self.task.levels
        shape = (self.task.outputs, len(levels)) if levels else (self.task.outputs,)
        return Prediction(self.task.kind, self.answers(samples, *shape), levels)
