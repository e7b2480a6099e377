"""Panels of simulated daily variances and returns, as samples of a volatility problem."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Task
from finflow.models.samples import Observations, SampleIndex, Samples

STEPS = (1, 5)


def stochastic_volatility(days: int, seed: int, leverage: float = -0.8) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log variances as measured (a persistent log volatility under noise) and returns, whose falls raise the volatility to come."""
    random = np.random.default_rng(seed)
    shocks, noise = random.standard_normal((2, days))
    state = np.zeros(days)
    for day in range(1, days):
        state[day] = 0.97 * state[day - 1] + 0.15 * (leverage * shocks[day - 1] + random.standard_normal())
    returns = np.exp(-4.6 + state / 2) * shocks
    return -9.2 + state + 0.5 * noise, returns


def variance_panel(days: int = 700, entities: int = 2, length: int = 30, seed: int = 0) -> tuple[Samples, Task]:
    """Labelled samples; columns: log variance, return (both features too), and the problem's own two."""
    series = [stochastic_volatility(days, 100 * seed + entity) for entity in range(entities)]
    log_variance, returns = (np.concatenate(part) for part in zip(*series, strict=True))
    first = np.arange(entities + 1, dtype=np.int64) * days
    values = np.column_stack([log_variance, returns, log_variance, returns]).astype(np.float32)
    columns = ("log_variance", "return", "__log_variance", "__return")
    time = np.tile(np.datetime64("2001-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D"), entities)
    observations = Observations(values, columns, tuple(f"E{number}" for number in range(entities)), first, time)
    row = np.concatenate([np.arange(a + length - 1, b - max(STEPS)) for a, b in itertools.pairwise(first)])
    variance = np.exp(values[:, 2].astype(np.float64))
    target = np.column_stack([variance[row[:, None] + np.arange(1, step + 1)].mean(axis=1) for step in STEPS])
    index = SampleIndex(
        row=row,
        time=time[row],
        label_start=time[row + 1],
        label_end=time[row + max(STEPS)],
        entity=observations.entity[row],
        target=target.astype(np.float32),
        target_time=time[row[:, None] + np.array(STEPS)],
        origin=variance[row],
    )
    task = Task(
        "variances",
        len(STEPS),
        (),
        (),
        columns,
        ("log_variance", "return"),
        length,
        steps=STEPS,
        log_variance="__log_variance",
        move="__return",
    )
    return Samples(observations, index, length), task
