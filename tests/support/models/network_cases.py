"""Panels of simulated prices, and a tiny network of every family."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import FitReport, Hardware, Model, Task
from finflow.models.samples import Observations, SampleIndex, Samples
from finflow.models.zoo import model_class

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
TINY: dict[str, dict[str, Any]] = {
    "recurrent": {"hidden": [6, 5], "dense": [4], "epochs": 2, "batch": 128, "dropout": 0.1},
    "cnn": {"channels": 5, "layers": 2, "epochs": 2, "batch": 128, "dropout": 0.1},
    "dense": {"hidden": [8], "epochs": 2, "batch": 128, "dropout": 0.1},
    "gan": {"hidden": 6, "noise": 4, "paths": 40, "epochs": 2, "batch": 128},
}
FAMILIES = sorted(TINY)


def panel(returns: list[NDArray[np.float64]], length: int = 8, horizon: int = 2, seed: int = 0) -> tuple[Samples, Task]:
    """Labelled samples over one series of returns an entity; columns: a feature, the increment, another feature, the level."""
    random = np.random.default_rng(seed)
    own = np.concatenate(returns)
    first = np.concatenate([[0], np.cumsum([len(series) for series in returns])]).astype(np.int64)
    level = np.concatenate([4.0 + np.cumsum(series) for series in returns])
    values = np.column_stack([own, own, random.normal(3.0, 0.5, len(own)), level]).astype(np.float32)
    time = np.concatenate([np.datetime64("2001-01-01", "ns") + np.arange(len(series)) * np.timedelta64(1, "D") for series in returns])
    columns = ("log_return", "__increment", "other", "__level")
    observations = Observations(values, columns, tuple(f"E{number}" for number in range(len(returns))), first, time)
    row = np.concatenate([np.arange(a + length - 1, b - horizon) for a, b in itertools.pairwise(first)])
    row = row[np.argsort(time[row], kind="stable")]
    ahead = row[:, None] + np.arange(1, horizon + 1)
    index = SampleIndex(
        row=row,
        time=time[row],
        label_start=time[row + 1],
        label_end=time[row + horizon],
        entity=observations.entity[row],
        target=np.cumsum(own[ahead], axis=1).astype(np.float32),
        target_time=time[ahead],
        origin=np.exp(level[row]),
    )
    task = Task("quantiles", horizon, LEVELS, (), columns, ("log_return", "other"), length, "__increment", "__level")
    return Samples(observations, index, length), task


def noise(days: int = 500, entities: int = 2, seed: int = 1) -> list[NDArray[np.float64]]:
    """Independent normal returns of one percent a day."""
    return list(np.random.default_rng(seed).normal(0.0003, 0.01, (entities, days)))


def product_of_lags(days: int, share: float, seed: int) -> NDArray[np.float64]:
    """Returns of which the product of the last two makes up about that share of the variance."""
    random = np.random.default_rng(seed)
    series = np.zeros(days)
    for day in range(2, days):
        planted = np.prod(np.clip(series[day - 2 : day], -2.5, 2.5))
        series[day] = np.sqrt(share) * planted + np.sqrt(1 - share) * random.standard_normal()
    return 0.01 * series


def split(samples: Samples) -> tuple[Samples, Samples, Samples]:
    """Train, validation and test: 60, 20 and 20 % of the dates."""
    times = np.unique(samples.index.time)
    one, two = times[int(0.6 * len(times))], times[int(0.8 * len(times))]
    when = samples.index.time
    return samples.take(samples.index.label_end < one), samples.take((when >= one) & (when < two)), samples.take(when >= two)


def network(name: str, task: Task, **changes: Any) -> Model:
    """A tiny network; keyword arguments replace settings."""
    found = model_class(name)
    return found(found.Settings.model_validate({**TINY[name], **changes}), task)


def fit(model: Model, samples: Samples, seed: int = 1, hardware: Hardware | None = None) -> FitReport:
    """Fit on the first three fifths of the dates."""
    train, validation, _ = split(samples)
    return model.fit(train, validation, seed=seed, hardware=hardware or Hardware())
