"""Samples of classes for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from finflow.models.base import Task
from finflow.models.samples import Samples
from tests.support.models.network_cases import noise, panel


def class_panel(classes: tuple[str, ...] = ("down", "flat", "up"), days: int = 400) -> tuple[Samples, Task]:
    """Classes that the last value of a feature tells, but for noise."""
    samples, task = panel(noise(days))
    score = samples.observations.values[samples.index.row, 2] - 3.0 + np.random.default_rng(5).normal(0, 0.3, len(samples))
    cuts = np.quantile(score, np.arange(1, len(classes)) / len(classes))
    index = replace(samples.index, target=np.searchsorted(cuts, score).astype(np.float32)[:, None])
    asked = replace(task, kind="probabilities", outputs=1, levels=(), classes=classes, increment=None, level=None)
    return replace(samples, index=index), asked
