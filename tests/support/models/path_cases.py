"""Panels of simulated returns as samples that ask for paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Hardware, Model, Task
from finflow.models.samples import Samples
from finflow.models.zoo import model_class
from tests.support.models.classical_cases import panel, split

PATHS, OUTPUTS, LENGTH = 24, 12, 30
TINY_GAN = {"epochs": 1, "batch": 64, "channels": 4, "layers": 3, "critic": 4, "segment": 40, "filter": 40, "context": 200}


def garch_returns(
    size: int, seed: int, alpha: float = 0.05, gamma: float = 0.1, beta: float = 0.88, deviation: float = 0.01
) -> NDArray[np.float64]:
    """A GJR-GARCH series with normal shocks, of that unconditional deviation."""
    shocks = np.random.default_rng(seed).standard_normal(size)
    omega = deviation**2 * (1 - alpha - gamma / 2 - beta)
    variance, series = deviation**2, np.empty(size)
    for step in range(size):
        series[step] = np.sqrt(variance) * shocks[step]
        variance = omega + (alpha + gamma * (series[step] < 0)) * series[step] ** 2 + beta * variance
    return series


def path_parts(series: list[NDArray[np.float64]] | None = None, paths: int = PATHS) -> tuple[Samples, Samples, Samples, Task]:
    """Train, validation, test, and the task."""
    samples, task = panel(series or [garch_returns(900, 1), garch_returns(800, 2, deviation=0.02)], LENGTH, OUTPUTS, others=0)
    return *split(samples), replace(task, kind="paths", levels=(), paths=paths)


def fitted(name: str, settings: dict[str, object], train: Samples, validation: Samples, task: Task, seed: int = 3) -> Model:
    found = model_class(name)
    model = found(found.Settings.model_validate(settings), task)
    model.fit(train, validation, seed=seed, hardware=Hardware())
    return model
