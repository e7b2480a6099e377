"""What an evaluation measures before it compares: losses, who cannot be compared, comparisons, and what intervals are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import Float64, SampleIndex
from finflow.pipelines.core.errors import DefinitionError, FitError
from finflow.pipelines.evaluation.comparisons import Compared, compare_all, daily_means, overlap, units_of
from finflow.pipelines.evaluation.inputs import INTERVAL_REPLICATIONS, EvaluationPanel, EvaluationRequest
from finflow.pipelines.evaluation.sight import Mask
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.samples.folds import select
from finflow.pipelines.statistics import default_block
from finflow.pipelines.statistics.bootstrap import Resampling


@dataclass(frozen=True, eq=False)
class Measured:
    """What the candidates of a panel lost, and how they compare.

    Attributes:
        losses: by candidate and loss, float64, [n] test samples.
        daily: by candidate, the deciding loss a date: float64, [dates].
        invalid: by candidate that cannot be compared, why.
        entries: by candidate that was predicted, whether it is a baseline.
        compared: by candidate, its comparisons.
        dates: how many there are.
        horizon: steps over which losses of neighbouring dates overlap.
        block: mean length of a block of dates in the bootstraps.
        train: by fold, its training samples.
        scale: of scaled errors: float64, [n].
        draws: resampled dates of the test samples.
    """

    losses: Mapping[str, Mapping[str, Float64]]
    daily: Mapping[str, Float64]
    invalid: Mapping[str, str]
    entries: Mapping[str, bool]
    compared: Mapping[str, Compared]
    dates: int
    horizon: int
    block: int
    train: Sequence[SampleIndex]
    scale: Float64
    draws: Resampling

    @property
    def valid(self) -> dict[str, Float64]:
        """`daily` of those that can be compared."""
        return {name: values for name, values in self.daily.items() if name not in self.invalid}


def measure(request: EvaluationRequest, panel: EvaluationPanel, decides: Mask | None = None) -> Measured:
    """Losses, comparisons, and what metrics and their intervals need.

    Args:
        decides: bool, [n]: the test samples that comparisons are made on; none, or None: all.

    Raises:
        FitError: the reference cannot be evaluated.
        DefinitionError: the gate's loss is not one of the problem's.
    """
    definition, problem = request.definition, request.problem
    losses = _losses(request, panel)
    units = units_of(panel.index, panel.folds)
    daily = {name: daily_means(found[definition.gate.loss], units)[1] for name, found in losses.items()}
    invalid = {**_invalid(panel, losses), **request.failed}
    if definition.reference in invalid:
        why = invalid[definition.reference]
        raise FitError(f"the reference {definition.reference} cannot be evaluated, and nothing can be decided without it: {why}.")
    horizon, dates = 1 if problem.independent else overlap(panel.index), len(np.unique(units))
    entries = {name: name in definition.baselines for name in request.recipes if name in panel.forecasts}
    compared = compare_all(
        _deciding(daily, units, decides),
        entries,
        request.champion,
        definition.reference,
        horizon=horizon,
        seed=definition.seed,
        replications=request.replications,
        logarithmic=problem.logarithmic(definition.gate.loss),
    )
    train, block = _training_parts(request, panel), _block(dates, horizon)
    scale = _scales(problem, panel, train)
    draws = Resampling(units, block=block, replications=INTERVAL_REPLICATIONS, seed=definition.seed)
    return Measured(losses, daily, invalid, entries, compared, dates, horizon, block, train, scale, draws)


def _deciding(daily: Mapping[str, Float64], units: NDArray[Any], decides: Mask | None) -> Mapping[str, Float64]:
    """Of the losses a date (or entity) those that decide."""
    if decides is None or not decides.any() or decides.all():
        return daily
    chosen = np.isin(np.unique(units), units[decides])
    return {name: values[chosen] for name, values in daily.items()}


def _losses(request: EvaluationRequest, panel: EvaluationPanel) -> dict[str, dict[str, Float64]]:
    """By candidate and loss: float64, [n]. NaN throughout where a prediction is not finite."""
    found: dict[str, dict[str, Float64]] = {}
    loss = request.definition.gate.loss
    for name, forecast in panel.forecasts.items():
        with np.errstate(all="ignore"):
            values = {
                key: np.asarray(value, dtype=np.float64) for key, value in request.problem.losses(forecast.ensemble, panel.index).items()
            }
        if loss not in values:
            raise DefinitionError(f"gate.loss {loss!r} is not a loss of this kind of problem: there are {', '.join(values)}.")
        found[name] = {key: np.full(len(value), np.nan) if forecast.invalid else value for key, value in values.items()}
    return found


def _invalid(panel: EvaluationPanel, losses: Mapping[str, Mapping[str, Float64]]) -> dict[str, str]:
    """Why candidates cannot be compared."""
    found: dict[str, str] = {}
    for name, forecast in panel.forecasts.items():
        infinite = [loss for loss, values in losses[name].items() if not np.isfinite(values).all()]
        if forecast.invalid:
            found[name] = forecast.invalid
        elif infinite:
            found[name] = f"its loss {infinite[0]} is not finite on every test sample"
    return found


def _training_parts(request: EvaluationRequest, panel: EvaluationPanel) -> list[SampleIndex]:
    """By fold, its training samples."""
    index, embargo = request.samples.index, request.definition.folds.embargo
    return [index.take(select(fold, index, embargo).train) for fold in panel.folds]


def _scales(problem: Problem, panel: EvaluationPanel, train: Sequence[SampleIndex]) -> Float64:
    """Each test sample's scale for scaled errors, from the training part of its own fold: float64, [n]."""
    scale = np.ones(len(panel.index))
    for number, part in enumerate(train):
        scales = problem.scale_of(part)
        here = np.flatnonzero(panel.fold == number)
        codes, place = np.unique(panel.index.entity[here], return_inverse=True)
        scale[here] = np.array([_scale_of(scales, int(code)) for code in codes])[place]
    return scale


def _scale_of(scales: Mapping[int, float], code: int) -> float:
    """1 for an entity that the problem gives no scale."""
    try:
        return scales[code]  # a default dictionary answers for what it does not hold
    except KeyError:
        return 1.0


def _block(dates: int, horizon: int) -> int:
    return default_block(dates, horizon)
