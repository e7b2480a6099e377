"""Panels of simulated returns, as samples, and what every classical model must hold."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Hardware, Model, Task
from finflow.models.samples import Observations, SampleIndex, Samples, from_windows
from finflow.models.zoo import model_class

#: settings that a model cannot do without
NEEDED: dict[str, dict[str, object]] = {"var": {"series": ("noise_0",)}}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def panel(
    increments: list[NDArray[np.float64]], length: int = 10, horizon: int = 1, others: int = 1, seed: int = 0
) -> tuple[Samples, Task]:
    """Labelled samples over one series of increments an entity: features are the increment and `others` columns of noise.

    An entity's first increment is missing, as a first return is.
    """
    random = np.random.default_rng(seed)
    sizes = [len(own) for own in increments]
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    own = np.concatenate(increments)
    values = np.column_stack([own, *random.standard_normal((others, len(own))), own]).astype(np.float32)
    values[first[:-1], -1] = np.nan
    time = np.concatenate([np.datetime64("2000-01-03", "ns") + np.arange(size) * np.timedelta64(1, "D") for size in sizes])
    columns = ("log_return", *(f"noise_{number}" for number in range(others)), "__increment")
    observations = Observations(values, columns, tuple(f"E{number}" for number in range(len(sizes))), first, time)
    row = np.concatenate([np.arange(start + length, stop - horizon) for start, stop in itertools.pairwise(first)])
    ahead = row[:, None] + np.arange(1, horizon + 1)
    index = SampleIndex(
        row=row,
        time=time[row],
        label_start=time[row + 1],
        label_end=time[row + horizon],
        entity=observations.entity[row],
        target=np.cumsum(own[ahead], axis=1).astype(np.float32),
        target_time=time[ahead],
        origin=np.ones(len(row)),
    )
    task = Task("quantiles", horizon, LEVELS, (), columns, columns[:-1], length, "__increment")
    return Samples(observations, index, length), task


def autoregressive(size: int, coefficient: float, seed: int, sigma: float = 0.01) -> NDArray[np.float64]:
    """A series x_t = coefficient * x_{t-1} + noise."""
    noise = np.random.default_rng(seed).normal(0, sigma, size)
    series = np.zeros(size)
    for step in range(1, size):
        series[step] = coefficient * series[step - 1] + noise[step]
    return series


def split(samples: Samples, share: float = 0.6) -> tuple[Samples, Samples, Samples]:
    """Train, validation and test, in time order; the second is a fifth of the first."""
    times = np.unique(samples.index.time)
    test, validation = times[int(share * len(times))], times[int(0.8 * share * len(times))]
    time = samples.index.time
    return samples.take(time < validation), samples.take((time >= validation) & (time < test)), samples.take(time >= test)


def fitted(name: str, task: Task, train: Samples, validation: Samples, **settings: object) -> Model:
    """A model of the zoo, fitted."""
    found = model_class(name)
    model = found(found.Settings.model_validate({**NEEDED.get(name, {}), **settings}), task)
    model.fit(train, validation, seed=0, hardware=Hardware())
    return model


def served(samples: Samples, task: Task, context: int) -> Samples:
    """The same samples as a served model gets them: windows alone."""
    return from_windows(samples.gather(length=context), task.columns, task.length, task.outputs)


def crps(model: Model, samples: Samples) -> float:
    """Twice the mean pinball loss."""
    errors = samples.targets[:, :, None] - model.predict(samples).values
    levels = np.array(LEVELS)
    return float(2 * np.maximum(levels * errors, (levels - 1) * errors).mean())
