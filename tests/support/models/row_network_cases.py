"""Simulated rows with numbers that may be missing and categories, and tiny networks over them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Hardware, Task
from finflow.models.row_networks.row_network import RowNetwork
from finflow.models.rows.categories import category_codes
from finflow.models.samples import CATEGORIES, Observations, SampleIndex, Samples
from finflow.models.zoo import model_class

TINY: dict[str, dict[str, Any]] = {
    "autoencoder": {"hidden": [16], "reduced": 3, "epochs": 6, "batch": 64},
    "tabular_dense": {"hidden": [16, 16], "epochs": 6, "batch": 64},
    "sequence_lstm": {"length": 4, "hidden": [8], "dense": [8], "epochs": 2, "batch": 64},
    "sequence_cnn": {"length": 4, "channels": 8, "layers": 2, "dense": [8], "epochs": 2, "batch": 64},
}
FEATURES, CATEGORICAL = ("amount", "age", "noise"), ("purpose", "region")


def rows(count: int = 1200, seed: int = 0, entities: int | None = None) -> tuple[Samples, Task]:
    """Applicants, or `entities` customers with several rows each: a curved number, a missing one that means something, a category."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 3)).astype(np.float32) * np.float32([1000, 10, 1]) + np.float32([5000, 40, 0])
    absent = random.random(count) < 0.2
    purpose = random.choice(["car", "house", "boat"], count)
    region = np.array([f"r{number}" for number in random.integers(0, 15, count)])
    odds = np.cos((values[:, 0] - 5000) / 500) * 1.5 + absent * 1.5 + (purpose == "boat") * 1.5 - 1.5
    target = (random.random(count) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    values[absent, 1] = np.nan
    codes = np.column_stack([category_codes(list(purpose)), category_codes(list(region))])
    return samples_of(values, codes, target, entities or count)


def samples_of(values: NDArray, codes: NDArray, target: NDArray, entities: int) -> tuple[Samples, Task]:
    """Rows as samples of themselves, a day each, `entities` entities with about equally many."""
    count = len(values)
    first = np.linspace(0, count, entities + 1).astype(np.int64)
    entity = np.repeat(np.arange(entities), np.diff(first))
    within = np.arange(count) - first[entity]
    time = np.datetime64("2020-01-01", "ns") + (within * entities + entity) * np.timedelta64(1, "D")
    names = tuple(f"x{number}" for number in range(values.shape[1])) if values.shape[1] != 3 else FEATURES
    kinds = CATEGORICAL[: codes.shape[1]]
    blocks = {CATEGORIES: codes.astype(np.int64)} if codes.shape[1] else {}
    observations = Observations(
        np.ascontiguousarray(values, dtype=np.float32), names, tuple(f"E{n}" for n in range(entities)), first, time, blocks
    )
    index = SampleIndex(
        row=np.arange(count),
        time=time,
        label_start=time,
        label_end=time,
        entity=entity,
        target=target[:, None].astype(np.float32),
        target_time=time[:, None],
        origin=np.full(count, np.nan),
    )
    task = Task("probabilities", 1, (), ("good", "bad"), names, names, 1, categories=kinds, missing=True)
    return Samples(observations, index, 1), task


def split(samples: Samples) -> tuple[Samples, Samples, Samples]:
    """Train, validation and test: 60, 20 and 20 %, in time order."""
    order = np.argsort(samples.index.time, kind="stable")
    one, two = int(0.6 * len(order)), int(0.8 * len(order))
    return samples.take(order[:one]), samples.take(order[one:two]), samples.take(order[two:])


def network(name: str, task: Task, **changes: Any) -> RowNetwork:
    """A tiny network; keyword arguments replace settings."""
    found = model_class(name)
    model = found(found.Settings.model_validate({**TINY[name], **changes}), task)
    assert isinstance(model, RowNetwork)
    return model


def fitted(name: str, samples: Samples, task: Task, seed: int = 1, **changes: Any) -> RowNetwork:
    model = network(name, task, **changes)
    train, validation, _ = split(samples)
    model.fit(train, validation, seed=seed, hardware=Hardware())
    return model


def area(score: NDArray, target: NDArray) -> float:
    """Area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target, score))
