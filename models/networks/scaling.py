"""Scaling of features and targets, fitted on the training part of a fold alone; plain numpy, kept with the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Task
from finflow.models.errors import FitFailure
from finflow.models.samples import Float32, Float64, Samples

How = Literal["standard", "robust", "minmax", "none"]

#: Where scaled features are cut, under the scalings that have a spread: one wild value must not rule a forecast.
LIMIT = 10.0


#: windows that are looked at together
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Scaling:
    """What turns raw windows and targets into scaled ones, and scaled answers back.

    Attributes:
        feature_location, feature_inverse: float32, [features]; scaled = (raw - location) * inverse.
        limit: float32, [1]; scaled features are cut at plus and minus this (infinite: nowhere).
        target_location, target_scale: float64, [outputs]; raw = scaled * scale + location.
    """

    feature_location: Float32
    feature_inverse: Float32
    limit: Float32
    target_location: Float64
    target_scale: Float64

    def features(self, values: Float32) -> Float32:
        """Scale a fresh array [..., features], or [n, length * features] with the location repeated, in place."""
        repeat = values.shape[-1] // len(self.feature_location)
        np.subtract(values, np.tile(self.feature_location, repeat), out=values)
        np.multiply(values, np.tile(self.feature_inverse, repeat), out=values)
        if np.isfinite(self.limit[0]):
            np.clip(values, -self.limit[0], self.limit[0], out=values)
        return values

    def targets(self, values: Float64) -> Float32:
        """float32, [n, outputs]: scaled targets."""
        scaled: Float32 = ((values - self.target_location) / self.target_scale).astype(np.float32)
        return scaled

    def answers(self, scaled: Float32) -> Float64:
        """float64, [n, outputs, levels]: what scaled answers of that shape stand for."""
        raw: Float64 = scaled.astype(np.float64) * self.target_scale[:, None] + self.target_location[:, None]
        return raw

    def arrays(self) -> dict[str, NDArray]:
        """By name, to be saved."""
        names = ("feature_location", "feature_inverse", "limit", "target_location", "target_scale")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray], task: Task) -> Self:
        """Raises ValueError: an array is missing or has another shape than the task asks for."""
        shapes = {
            "feature_location": (len(task.features),),
            "feature_inverse": (len(task.features),),
            "limit": (1,),
            "target_location": (task.outputs,),
            "target_scale": (task.outputs,),
        }
        for name, shape in shapes.items():
            if name not in arrays or arrays[name].shape != shape:
                found = arrays[name].shape if name in arrays else "nothing"
                raise ValueError(f"saved scaling {name!r}: expected shape {shape}, found {found}")
        return cls(**{name: arrays[name] for name in shapes})


def fit_scaling(how: How, train: Samples, task: Task, targets: Float64, *, scale_targets: bool = True) -> Scaling:
    """Fit on the rows that the training windows read, and on the training targets (float64, [n, outputs]).

    `standard`: mean and standard deviation; `robust`: median and interquartile range over 1.349; `minmax`: to [0, 1]; `none`: as they are.
    A constant column becomes zero. Without `scale_targets` targets stay as they are.

    Raises:
        FitFailure: a feature or a target is not finite in the training part; the message names it.
    """
    rows = rows_read(train)
    pairs = []
    for name, position in zip(task.features, task.feature_positions, strict=True):
        column = np.asarray(train.observations.values[rows, position], dtype=np.float64)
        bad = int((~np.isfinite(column)).sum())
        if bad:
            raise FitFailure(
                f"feature {name!r} holds {bad} values that are not finite in the training part; drop those windows or mend the feature"
            )
        pairs.append(_location_and_scale(how, column))
    if not np.isfinite(targets).all():
        raise FitFailure("a training target is not finite; only labelled samples can be fitted")
    target_pairs = [_location_and_scale(how if scale_targets else "none", targets[:, output]) for output in range(targets.shape[1])]
    return Scaling(
        feature_location=np.array([location for location, _ in pairs], dtype=np.float32),
        feature_inverse=np.array([1.0 / scale for _, scale in pairs], dtype=np.float32),
        limit=np.array([LIMIT if how in ("standard", "robust") else np.inf], dtype=np.float32),
        target_location=np.array([location for location, _ in target_pairs]),
        target_scale=np.array([scale for _, scale in target_pairs]),
    )


def rows_read(samples: Samples) -> NDArray[np.int64]:
    """int64, ascending: where the observations stand that the windows of these samples cover, each as some sample knew it."""
    behind = samples.observations.behind[samples.index.row]
    row = samples.index.row[~behind] if behind.any() else samples.index.row
    steps = np.zeros(len(samples.observations.values) + 1, dtype=np.int64)
    np.add.at(steps, row - samples.length + 1, 1)
    np.add.at(steps, row + 1, -1)
    read = np.cumsum(steps[:-1]) > 0
    later = np.flatnonzero(behind)
    for start in range(0, len(later), _CHUNK):
        read[samples.places(later[start : start + _CHUNK])] = True
    return np.flatnonzero(read)


def _location_and_scale(how: How, column: Float64) -> tuple[float, float]:
    if how == "none":
        return 0.0, 1.0
    if how == "standard":
        location, scale = float(column.mean()), float(column.std())
    elif how == "robust":
        low, location, high = (float(value) for value in np.quantile(column, (0.25, 0.5, 0.75)))
        scale = (high - low) / 1.349
    else:
        location, scale = float(column.min()), float(column.max() - column.min())
    # Rounding leaves a constant column a spread of about 1e-16 of its level; float32 holds seven digits of it.
    if not scale > 1e-7 * abs(location) or scale < 1e-30:
        scale = 1.0
    return location, scale
