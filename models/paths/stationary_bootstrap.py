"""Paths pieced together from blocks of the past: the stationary bootstrap."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.paths.paths import PathModel, generators, long_run_deviation, training_series
from finflow.models.samples import Float64, Samples


class StationaryBootstrapSettings(ModelSettings):
    """How long the blocks are, and what brings them to the sample's scale."""

    block: float = Field(default=100.0, ge=1.0, le=10_000.0, description="mean length of a block, in increments")
    context: int = Field(default=2500, ge=50, le=20_000, description="past increments whose deviation the drawn ones are brought to")
    seed: int = Field(default=0, ge=0, description="of the draws")


class StationaryBootstrap(PathModel):
    """Politis and Romano (1994): blocks of geometric length that begin anywhere in the training part and run on in its order; a block that
    comes to its entity's end goes on at the beginning.

    The increments of each entity are standardised, blocks are drawn from all of them, and brought to the long-run deviation of the sample's
    own past. It knows every stylised fact within a block, nothing of today's volatility, and repeats the past to the letter.
    """

    Settings: ClassVar[type[ModelSettings]] = StationaryBootstrapSettings
    family: ClassVar[str] = "bootstrap"

    @property
    def context(self) -> int:
        return max(self.task.length, cast(StationaryBootstrapSettings, self.settings).context)

    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        parts = list(training_series(samples, self.task).values())
        pool = np.concatenate([part / part.std() for part in parts])
        lengths = np.array([len(part) for part in parts], dtype=np.float64)
        return {"pool": pool, "lengths": lengths, "deviation": np.array([_pooled(parts)])}, {"increments": len(pool)}

    def steps(self, past: Float64, state: dict[str, Float64]) -> Float64:
        settings = cast(StationaryBootstrapSettings, self.settings)
        pool, lengths = state["pool"], state["lengths"].astype(np.int64)
        entity = np.repeat(np.arange(len(lengths)), lengths)
        first = np.concatenate(([0], np.cumsum(lengths)))
        following = np.arange(1, len(pool) + 1)
        following[first[1:] - 1] = first[:-1][entity[first[1:] - 1]]
        shape = (self.task.paths, self.task.outputs)
        steps = np.empty((len(past), *shape))
        for number, generator in enumerate(generators(past, settings.seed)):
            begins = generator.random(shape) < 1.0 / settings.block
            starts = generator.integers(0, len(pool), size=shape)
            place = starts[:, 0]
            for step in range(shape[1]):
                place = np.where(begins[:, step], starts[:, step], following[place]) if step else place
                steps[number, :, step] = pool[place]
        return steps * long_run_deviation(past, float(state["deviation"][0]))[:, None, None]


def _pooled(parts: list[Float64]) -> float:
    """The deviation of all increments around their entities' means."""
    return float(np.sqrt(np.concatenate([(part - part.mean()) ** 2 for part in parts]).mean()))
