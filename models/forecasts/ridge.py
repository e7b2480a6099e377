"""Ridge regression of the targets on the flattened, scaled window (Hoerl and Kennard 1970)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.errors import FitFailure
from finflow.models.forecasts.classical import Classical
from finflow.models.forecasts.volatility_scale import SpreadSettings
from finflow.models.reading import CHUNK, chunks
from finflow.models.samples import Float64, Samples

#: positions of a block of time; coefficients [penalties, k, outputs] and intercepts [penalties, outputs] that did not see it
HeldOut = tuple[NDArray[np.int64], Float64, Float64]
#: from hardly any shrinkage to nothing left but the mean
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)


class RidgeSettings(SpreadSettings):
    """The penalty, and how it is chosen."""

    alpha: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="penalty: mean squared error + alpha * squared coefficients of the scaled inputs; none: chosen",
    )
    blocks: int = Field(default=5, ge=2, le=50, description="blocks of time that choose the penalty and give residuals")
    clip: float = Field(default=10.0, gt=0, le=1e6, description="scaled inputs are cut at so many standard deviations")


class Ridge(Classical):
    """One linear map from window to targets for all entities, in closed form from sums that are gathered chunk by chunk.

    The penalty, where it is not set, and the residuals behind the quantiles come from blocked cross-validation: each block of time is
    predicted by coefficients of the samples whose labels do not overlap it (Bergmeir and Benitez 2012, purged as in Lopez de Prado
    2018). Residuals of the fit itself would promise too narrow a band, because a window has hundreds of columns.
    """

    Settings: ClassVar[type[ModelSettings]] = RidgeSettings
    family: ClassVar[str] = "ridge"

    def fit_location(self, samples: Samples) -> tuple[Float64, dict[str, object]]:
        settings = cast(RidgeSettings, self.settings)
        mean, deviation = self._moments(samples)
        self.location_state = {"mean": mean, "deviation": deviation}
        whole = self._sums(samples)
        penalties = PENALTIES if settings.alpha is None else (settings.alpha,)
        held_out = self._held_out(samples, whole, penalties, settings.blocks)
        spread = samples.targets.astype(np.float64).var(axis=0)
        squares = np.zeros((len(penalties), self.task.outputs))
        for _, missed in self._missed(samples, held_out, slice(None)):
            squares += (missed**2).sum(axis=1)
        errors = squares / len(samples) / np.where(spread > 0, spread, 1.0)
        chosen = int(np.argmin(errors.mean(axis=1)))
        residuals = np.empty((len(samples), self.task.outputs))
        for positions, missed in self._missed(samples, held_out, slice(chosen, chosen + 1)):
            residuals[positions] = missed[0]
        coefficients, intercept = whole.solve(penalties[chosen : chosen + 1])
        self.location_state |= {"coefficients": np.ascontiguousarray(coefficients[0].T), "intercept": intercept[0]}
        return residuals, {"alpha": penalties[chosen], "inputs": len(mean)}

    def location(self, samples: Samples) -> Float64:
        inputs = self._inputs(samples)
        answer = np.empty((len(samples), self.task.outputs))
        for output, coefficients in enumerate(self.location_state["coefficients"]):
            # a sum along each row, not a matrix product, whose bits would depend on the number of rows
            answer[:, output] = (inputs * coefficients).sum(axis=1) + self.location_state["intercept"][output]
        return answer

    def _raw(self, samples: Samples) -> Float64:
        """float64, [n, length * features]."""
        windows = samples.gather(length=self.task.length)[:, :, self.task.feature_positions]
        return windows.reshape(len(samples), -1).astype(np.float64)

    def _inputs(self, samples: Samples) -> Float64:
        clip = cast(RidgeSettings, self.settings).clip
        return np.clip((self._raw(samples) - self.location_state["mean"]) / self.location_state["deviation"], -clip, clip)

    def _moments(self, samples: Samples) -> tuple[Float64, Float64]:
        """Mean and standard deviation of every input; a constant one gets deviation 1 (and so no say)."""
        total = np.zeros(self.task.length * len(self.task.features))
        for part in chunks(samples):
            total += self._raw(part).sum(axis=0)
        mean = total / len(samples)
        if not np.isfinite(mean).all():
            names = sorted({self.task.features[position % len(self.task.features)] for position in np.flatnonzero(~np.isfinite(mean))})
            raise FitFailure(f"features {names} hold values that are not finite in the training windows")
        squares = np.zeros_like(mean)
        for part in chunks(samples):
            squares += ((self._raw(part) - mean) ** 2).sum(axis=0)
        deviation = np.sqrt(squares / len(samples))
        constant = deviation <= 1e-7 * np.maximum(np.abs(mean), 1e-30)
        return mean, np.where(constant, 1.0, deviation)

    def _sums(self, samples: Samples) -> Sums:
        inputs = self.task.length * len(self.task.features)
        sums = Sums.zero(inputs, self.task.outputs)
        for part in chunks(samples):
            sums = sums.plus(self._inputs(part), part.targets.astype(np.float64))
        return sums

    def _held_out(self, samples: Samples, whole: Sums, penalties: tuple[float, ...], blocks: int) -> list[HeldOut]:
        """For each block of time its positions, and by penalty the coefficients that did not see it."""
        held_out = []
        for inside, near in time_blocks(samples, blocks):
            rest = whole.minus(self._sums(samples.take(near)))
            if rest.count < 2:
                raise FitFailure(f"{len(samples)} training samples are too few for {blocks} blocks of time whose labels do not overlap")
            held_out.append((inside, *rest.solve(penalties)))
        return held_out

    def _missed(self, samples: Samples, held_out: list[HeldOut], which: slice) -> Iterator[tuple[NDArray[np.int64], Float64]]:
        """Some positions at a time, and what coefficients that did not see them miss: float64, [penalties, positions, outputs]."""
        for inside, coefficients, intercept in held_out:
            for positions in np.array_split(inside, 1 + len(inside) // CHUNK):
                part = samples.take(positions)
                yield positions, part.targets - (self._inputs(part) @ coefficients[which] + intercept[which, None, :])


def time_blocks(samples: Samples, blocks: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split labelled samples into blocks of consecutive times.

    Returns:
        For each block the positions inside it, and those together with all whose label spans overlap the block's (int64).
    """
    index = samples.index
    # samples without a time (plain rows) are split in their order
    times = index.time if not np.isnat(index.time).any() else np.arange(len(index)).astype("datetime64[ns]")
    start = np.where(np.isnat(index.label_start), times, index.label_start)
    end = np.where(np.isnat(index.label_end), times, index.label_end)
    distinct = np.unique(times)
    parts = []
    for block in np.array_split(distinct, min(blocks, len(distinct))):
        mask = (times >= block[0]) & (times <= block[-1])
        overlapping = (start <= end[mask].max()) & (end >= start[mask].min())
        parts.append((np.flatnonzero(mask), np.flatnonzero(mask | overlapping)))
    return parts


@dataclass(frozen=True, eq=False)
class Sums:
    """What the closed form needs of a set of samples: count, sums and products of inputs [n, k] and targets [n, outputs]."""

    count: int
    inputs: Float64
    targets: Float64
    squares: Float64
    products: Float64

    @classmethod
    def zero(cls, inputs: int, outputs: int) -> Sums:
        return cls(0, np.zeros(inputs), np.zeros(outputs), np.zeros((inputs, inputs)), np.zeros((inputs, outputs)))

    def plus(self, inputs: Float64, targets: Float64) -> Sums:
        return Sums(
            self.count + len(inputs),
            self.inputs + inputs.sum(axis=0),
            self.targets + targets.sum(axis=0),
            self.squares + inputs.T @ inputs,
            self.products + inputs.T @ targets,
        )

    def minus(self, other: Sums) -> Sums:
        return Sums(
            self.count - other.count,
            self.inputs - other.inputs,
            self.targets - other.targets,
            self.squares - other.squares,
            self.products - other.products,
        )

    def solve(self, penalties: tuple[float, ...]) -> tuple[Float64, Float64]:
        """Coefficients [penalties, k, outputs] and intercepts [penalties, outputs]; the intercept is not shrunk.

        Raises:
            FitFailure: the equations have no finite solution.
        """
        mean, target = self.inputs / self.count, self.targets / self.count
        covariance = self.squares / self.count - np.outer(mean, mean)
        products = self.products / self.count - np.outer(mean, target)
        try:
            values, vectors = np.linalg.eigh(covariance)
        except np.linalg.LinAlgError as error:
            raise FitFailure(f"the equations of the ridge regression over {self.count} samples cannot be solved: {error}") from error
        rotated = vectors.T @ products
        # rounding leaves eigenvalues a little below zero
        values = np.maximum(values, 0.0)
        coefficients = np.stack([vectors @ (rotated / (values + penalty)[:, None]) for penalty in penalties])
        if not np.isfinite(coefficients).all():
            raise FitFailure(f"the ridge regression over {self.count} samples has no finite solution: look at the values of the features")
        return coefficients, target - mean @ coefficients
