"""A fitted model for the benchmarks of serving."""

from __future__ import annotations

import numpy as np

from finflow.models.base import Hardware, Model
from finflow.models.networks.network import Network
from finflow.models.samples import Samples
from finflow.models.zoo import model_class
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.samples.windows import task_of


def fitted(definition: Definition, samples: Samples, name: str) -> Network:
    recipe = definition.candidates[name]
    kind = model_class(recipe.model)
    task = task_of(definition, samples.columns)
    model: Model = kind(kind.Settings.model_validate({**recipe.settings, "epochs": 1}), task)
    labelled = samples.take(np.arange(2_000))
    labelled.index.target[:] = np.random.default_rng(1).normal(0, 0.01, labelled.index.target.shape)
    model.fit(labelled.take(np.arange(1_500)), labelled.take(np.arange(1_500, 2_000)), seed=1, hardware=Hardware())
    assert isinstance(model, Network)
    return model
