"""Rows with missing numbers and categories, as samples, and what every model of rows must hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Hardware, Task
from finflow.models.rows.categories import category_codes
from finflow.models.rows.tabular import TabularModel
from finflow.models.samples import CATEGORIES, Observations, SampleIndex, Samples, from_windows
from finflow.models.zoo import model_class

NUMBERS, TEXTS = ("amount", "income", "constant", "empty"), ("purpose", "region")
#: settings that make fits quick
QUICK: dict[str, dict[str, Any]] = {"boosting": {"rounds": 60, "learning_rate": 0.1}, "isolation_forest": {"trees": 30}}


def rows(count: int = 3000, seed: int = 0, days: int = 300) -> tuple[Samples, Task]:
    """Applicants of two classes. Income is missing of a tenth, which tells something, and purpose of a twentieth."""
    random = np.random.default_rng(seed)
    amount, income = random.lognormal(1, 0.5, count), random.lognormal(1, 0.4, count)
    purpose = random.choice(["car", "home", "travel", "rare"], count, p=[0.5, 0.3, 0.199, 0.001]).astype(object)
    missing = random.random(count) < 0.1
    score = 1.5 * np.log(amount / income) + 1.0 * (purpose == "travel") - 0.8 * (purpose == "home") + 1.0 * missing - 0.7
    target = (random.random(count) < 1 / (1 + np.exp(-score))).astype(np.float32)[:, None]
    income[missing] = np.nan
    purpose[random.random(count) < 0.05] = None
    values = np.column_stack([amount, income, np.full(count, 3.0), np.full(count, np.nan)]).astype(np.float32)
    codes = np.column_stack([category_codes(list(purpose)), category_codes(random.choice(["north", "south"], count).tolist())])
    time = np.datetime64("2020-01-01", "ns") + np.sort(random.integers(0, days, count)) * np.timedelta64(1, "D")
    return as_samples(values, codes, target, time, NUMBERS, TEXTS)


def as_samples(
    values: NDArray[Any],
    codes: NDArray[np.int64],
    target: NDArray[Any],
    time: NDArray[np.datetime64],
    numbers: tuple[str, ...],
    texts: tuple[str, ...],
) -> tuple[Samples, Task]:
    """Samples of one row an entity."""
    count = len(values)
    places = np.arange(count, dtype=np.int64)
    observations = Observations(
        np.ascontiguousarray(values, dtype=np.float32),
        numbers,
        tuple(f"R{number}" for number in range(count)),
        np.arange(count + 1, dtype=np.int64),
        time,
        {CATEGORIES: np.ascontiguousarray(codes)},
    )
    wanted = np.asarray(target, dtype=np.float32).reshape(count, 1)
    index = SampleIndex(places, time, time, time, places, wanted, time[:, None], np.full(count, np.nan))
    task = Task("probabilities", 1, (), ("good", "bad"), numbers, numbers, 1, categories=texts, missing=True)
    return Samples(observations, index, 1), task


def split(samples: Samples, train: float = 0.5, validation: float = 0.25) -> tuple[Samples, Samples, Samples]:
    """Train, validation and test, in the order of the rows."""
    first, second = int(train * len(samples)), int((train + validation) * len(samples))
    return tuple(samples.take(np.arange(*ends)) for ends in ((0, first), (first, second), (second, len(samples))))  # type: ignore[return-value]


def unfitted(name: str, task: Task, **settings: Any) -> TabularModel:
    found = model_class(name)
    made = found(found.Settings.model_validate({**QUICK.get(name, {}), **settings}), task)
    assert isinstance(made, TabularModel)
    return made


def fitted(name: str, data: tuple[Samples, Task], seed: int = 1, **settings: Any) -> TabularModel:
    """Fitted on the first half, validated on the next quarter."""
    model = unfitted(name, data[1], **settings)
    train, validation, _ = split(data[0])
    model.fit(train, validation, seed=seed, hardware=Hardware())
    return model


def served(samples: Samples, task: Task, context: int = 1) -> Samples:
    """The same samples as a served model gets them."""
    return from_windows(samples.gather(length=context), task.columns, task.length, 1, samples.gather_categories(length=context))


def with_values(samples: Samples, **columns: float) -> Samples:
    """The samples with whole columns replaced."""
    values = samples.observations.values.copy()
    for name, value in columns.items():
        values[:, samples.column(name)] = value
    return replace(samples, observations=replace(samples.observations, values=values))


def with_codes(samples: Samples, codes: NDArray[np.int64] | int) -> Samples:
    """The samples with other codes of categories."""
    block = np.broadcast_to(codes, samples.observations.blocks[CATEGORIES].shape).astype(np.int64)
    return replace(samples, observations=replace(samples.observations, blocks={CATEGORIES: block}))


def log_loss(model: TabularModel, samples: Samples) -> float:
    codes = samples.targets[:, 0].astype(int)
    return float(-np.log(model.predict(samples).values.astype(np.float64)[np.arange(len(codes)), codes]).mean())
