"""How forecasts of an outcome are judged: losses, metrics and costs of a probability of the last of two classes.

Shapes: probability float64, [n], of the last class; code int64, [n], 1 where it came, else 0; stake float64, [n], NaN where nothing is said
of it. What a gate may name (`log_loss`, `brier`, `cost`) is shown as the gate sees it, every date counting once; all else counts every
sample once, and is exactly what one computes from all of them.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import Int64, SampleIndex
from finflow.pipelines.problems.calibration_scores import calibration_error, chance_error, cox_metrics, top_decile_error
from finflow.pipelines.problems.quantile_scores import identity
from finflow.pipelines.problems.rank_scores import ranking_metrics, top_metrics
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

#: a class that came with a smaller probability counts as if it had this one, as in `class_scores`
LEAST = float(np.finfo(np.float32).eps)


class CostsOf(Protocol):
    """What a wrong decision costs (see `finflow.pipelines.problems.outcome.Costs`)."""

    @property
    def false_positive(self) -> float: ...

    @property
    def false_negative(self) -> float: ...


class SettingsOf(Protocol):
    """What the metrics read of a problem's settings."""

    @property
    def costs(self) -> CostsOf: ...

    @property
    def top_a_day(self) -> tuple[int, ...]: ...


def cost_of_missing(stake: Float64, costs: CostsOf) -> Float64:
    """float64, [n]: what a false negative costs: its price times what is at stake; its price alone where nothing is said of that."""
    return np.asarray(costs.false_negative * np.where(np.isfinite(stake), np.maximum(stake, 0.0), 1.0))


def cost_threshold(stake: Float64, costs: CostsOf) -> Float64:
    """float64, [n]: the probability from which treating a row as one of the last class is the cheaper decision (Elkan, 2001)."""
    return np.asarray(costs.false_positive / (costs.false_positive + cost_of_missing(stake, costs)))


def flagged(probability: Float64, stake: Float64, costs: CostsOf) -> NDArray[np.bool_]:
    """bool, [n]: treated as of the last class."""
    return np.asarray(probability >= cost_threshold(stake, costs))


def cost_loss(probability: Float64, code: Int64, stake: Float64, costs: CostsOf) -> Float64:
    """float64, [n]: what deciding by the cost threshold costs in each row; NaN where the probability is."""
    wrong = np.where(code == 1, cost_of_missing(stake, costs), costs.false_positive)
    cost = np.where(flagged(probability, stake, costs) == (code == 1), 0.0, wrong)
    return np.where(np.isnan(probability), np.nan, cost)


def log_loss(probability: Float64, code: Int64) -> Float64:
    """float64, [n]: minus the logarithm of the probability that was given to what came."""
    return -np.log(np.maximum(np.where(code == 1, probability, 1.0 - probability), LEAST))


def brier(probability: Float64, code: Int64) -> Float64:
    """float64, [n]: the squared distance to what came (Brier, 1950, of one class: half of the sum over both)."""
    return np.asarray((probability - code) ** 2)


def outcome_losses(probability: Float64, code: Int64, stake: Float64, costs: CostsOf) -> dict[str, Float64]:
    """`log_loss`, `brier` and `cost`: float64, [n], lower is better."""
    return {
        "log_loss": log_loss(probability, code),
        "brier": brier(probability, code),
        "cost": cost_loss(probability, code, stake, costs),
    }


def outcome_metrics(probability: Float64, code: Int64, index: SampleIndex, settings: SettingsOf) -> list[MetricParts]:
    """What the leaderboard shows. No value where there is none: a ranking of one class alone, a slope of a constant forecast.

    The losses; `auc`, `gini`, `ks`, `average_precision`; `accuracy` at the cost threshold; `precision_top_k`, `recall_top_k` a day; the
    skill and calibration of the probabilities; and `cost` beside `cost_accept_all` (nobody is treated as of the last class) and
    `cost_refuse_all` (everybody), with `cost_saved`: the part of the cheaper one that deciding saves.

    Args:
        probability: finite (else no metric has a value).
        index: of the same samples: its times (days) and entities for what is found at the top, and its stakes.
    """
    losses = outcome_losses(probability, code, index.origin, settings.costs)
    parts = [MetricParts(name, (values,), identity, "lower") for name, values in losses.items()]
    if not np.isfinite(probability).all():
        return parts
    correct = (flagged(probability, index.origin, settings.costs) == (code == 1)).astype(np.float64)
    parts += ranking_metrics(probability, code)
    parts.append(MetricParts("accuracy", (correct,), identity, "higher", pooled=True))
    parts += top_metrics(probability, code, index.time, index.entity, settings.top_a_day)
    parts.append(brier_skill(probability, code))
    parts += [calibration_error(probability, code), chance_error(probability), top_decile_error(probability, code)]
    parts += cox_metrics(probability, code)
    return parts + cost_metrics(losses["cost"], code, index.origin, settings.costs)


def brier_skill(probability: Float64, code: Int64) -> MetricParts:
    """By what part the Brier score is below that of always saying the test samples' own base rate: 0 is no skill. That rate is known only
    afterwards, so the comparison is on the strict side. No value where one class is alone."""

    def combine(score: Float64, rate: Float64) -> Float64:
        return np.asarray(1.0 - np.divide(score, rate * (1.0 - rate)))

    return MetricParts("brier_skill", (brier(probability, code), code.astype(np.float64)), combine, "higher", pooled=True)


def cost_metrics(cost: Float64, code: Int64, stake: Float64, costs: CostsOf) -> list[MetricParts]:
    """`cost_accept_all`, `cost_refuse_all` and `cost_saved`; every date counts once, as for `cost`.

    Args:
        cost: float64, [n]; see `cost_loss`.
    """
    accept = np.where(code == 1, cost_of_missing(stake, costs), 0.0)
    refuse = np.where(code == 1, 0.0, costs.false_positive)

    def saved(spent: Float64, accepting: Float64, refusing: Float64) -> Float64:
        return np.asarray(1.0 - np.divide(spent, np.minimum(accepting, refusing)))

    return [
        MetricParts("cost_accept_all", (accept,), identity, "lower"),
        MetricParts("cost_refuse_all", (refuse,), identity, "lower"),
        MetricParts("cost_saved", (cost, accept, refuse), saved, "higher"),
    ]
