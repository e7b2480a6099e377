"""What an evaluation of outcomes keeps beside its leaderboard: differences, periods, fairness, stability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import SampleIndex
from finflow.pipelines.problems.base import Tested
from finflow.pipelines.problems.class_scores import probabilities_of
from finflow.pipelines.problems.outcome_fairness import Decided, group_figures
from finflow.pipelines.problems.outcome_scores import SettingsOf, cost_loss, flagged, outcome_metrics
from finflow.pipelines.statistics.bootstrap import Resampling, quantile_interval
from finflow.pipelines.statistics.delong import Area, area_difference, area_under_curve, placements
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts
from finflow.pipelines.statistics.repeated_splits import SplitMean, mean_over_splits

#: metrics whose differences are taken from draws of dates, beside DeLong's of the AUC
DRAWN = ("auc", "average_precision", "ks", "accuracy", "brier_skill", "log_loss", "brier", "cost")
DELONG = "DeLong"
DATES, ENTITIES = "paired bootstrap of dates", "paired bootstrap of entities"
SPLITS = "corrected t over splits"
LEVEL = 0.95


def difference_table(tested: Tested, settings: SettingsOf) -> pd.DataFrame:
    """Each candidate's metrics less the reference's, and less the champion's where its recipe competes.

    Of the AUC twice: by DeLong's test of two rankings of the same rows, clustered by entity where an entity has several, and by the paired
    bootstrap of dates that serves all other metrics, which also sees what all rows of a date share. Of stratified folds the bootstrap is of
    entities, and there is a third: the mean over splits of the difference within each (see `mean_over_splits`), which alone allows for
    training parts that overlap. P-values are two-sided, of each pair alone, with no correction for their number: they decide nothing.

    Returns:
        `candidate`, `against`, `role` (reference, champion), `metric`, `method`, `value` (the candidate's less the other's), `low`, `high`
        (95 %), `p_value`. NaN where there is no value.
    """
    code, entity = tested.index.target[:, 0].astype(np.int64), tested.index.entity
    cluster = entity if len(np.unique(entity)) < len(entity) else None
    method = DELONG if cluster is None else f"{DELONG}, clustered by entity"
    roles = {"reference": tested.reference, **({} if tested.champion is None else {"champion": tested.champion})}
    parts = next((fold.stratified.parts for fold in tested.folds if fold.stratified is not None), None)
    taken = {name: _replicates(_probability(tested, name), code, tested, settings) for name in tested.forecasts}
    rows: list[dict[str, Any]] = []
    for name in tested.forecasts:
        for role, other in roles.items():
            if other == name or other not in tested.forecasts or (role == "champion" and other == tested.reference):
                continue
            about = {"candidate": name, "against": other, "role": role}
            area = area_difference(_probability(tested, name), _probability(tested, other), code, cluster=cluster, level=LEVEL)
            rows.append({**about, "metric": "auc", "method": method, **_of_area(area)})
            if parts is not None:
                within = _fold_areas(tested, name) - _fold_areas(tested, other)
                rows.append({**about, "metric": "auc", "method": SPLITS, **_of_area(mean_over_splits(within, parts, LEVEL))})
            drawn = DATES if parts is None else ENTITIES
            for metric in DRAWN:
                rows.append({**about, "metric": metric, "method": drawn, **difference_of_draws(taken[name][metric], taken[other][metric])})
    columns = ["candidate", "against", "role", "metric", "method", "value", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[5:], np.float64))


def period_table(tested: Tested, settings: SettingsOf) -> pd.DataFrame:
    """Each candidate in each test period (fold).

    Returns:
        `candidate`, `period`, `rows`, `positives`, `auc`, `auc_low`, `auc_high` (DeLong, clustered by entity), `average_precision`,
        `brier_skill`, `mean_probability`, `base_rate`, `cost`, and `note`, which says why there is no value.
    """
    rows = []
    for name in tested.forecasts:
        for number, fold in enumerate(tested.folds):
            here = np.flatnonzero(tested.fold == number)
            if len(here):
                index = tested.index.take(here)
                figures = _period(_probability(tested, name)[here], index.target[:, 0].astype(np.int64), index, settings)
                rows.append({"candidate": name, "period": fold.name, **figures})
    return pd.DataFrame(rows)


def fairness_table(tested: Tested, settings: SettingsOf) -> pd.DataFrame:
    """`group_figures` of every candidate, with its name first."""
    tables = []
    for name in tested.forecasts if tested.index.groups else ():
        figures = group_figures(decided_of(_probability(tested, name), tested.index, settings), tested.index.groups, tested.draws)
        figures.insert(0, "candidate", name)
        tables.append(figures)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def decided_of(probability: Float64, index: SampleIndex, settings: SettingsOf) -> Decided:
    """What fairness judges of these samples."""
    code = index.target[:, 0].astype(np.int64)
    return Decided(probability, code, flagged(probability, index.origin, settings.costs), index.entity)


def _period(probability: Float64, code: NDArray[np.int64], index: SampleIndex, settings: SettingsOf) -> dict[str, Any]:
    draws = Resampling(np.zeros(len(code)), block=1, replications=1, seed=0)
    parts = {one.name: one for one in outcome_metrics(probability, code, index, settings)}
    area = area_under_curve(probability, code, cluster=index.entity, level=LEVEL)
    positives = int(code.sum())
    alone = positives in (0, len(code))
    return {
        "rows": len(code),
        "positives": positives,
        "auc": area.value,
        "auc_low": area.low,
        "auc_high": area.high,
        "average_precision": draws.take(parts["average_precision"])[0],
        "brier_skill": draws.take(parts["brier_skill"])[0],
        "mean_probability": float(probability.mean()),
        "base_rate": positives / len(code),
        "cost": float(cost_loss(probability, code, index.origin, settings.costs).mean()),
        "note": "one class alone came: nothing can be ranked" if alone else "",
    }


def _replicates(
    probability: Float64, code: NDArray[np.int64], tested: Tested, settings: SettingsOf
) -> dict[str, tuple[float | None, Float64 | None]]:
    parts: dict[str, MetricParts] = {one.name: one for one in outcome_metrics(probability, code, tested.index, settings)}
    return {name: tested.draws.take(parts[name]) for name in DRAWN}


def _fold_areas(tested: Tested, name: str) -> Float64:
    """The AUC within each fold: float64, [folds]; NaN where one class alone came."""
    probability, code = _probability(tested, name), tested.index.target[:, 0].astype(np.int64)
    return np.array([placements(probability[here], code[here])[1] for here in (tested.fold == n for n in range(len(tested.folds)))])


def _of_area(area: Area | SplitMean) -> dict[str, Any]:
    return {"value": area.value, "low": area.low, "high": area.high, "p_value": area.p_value}


def difference_of_draws(one: tuple[float | None, Float64 | None], other: tuple[float | None, Float64 | None]) -> dict[str, Any]:
    """The difference under the same draws, its percentile interval, and the two-sided p-value that goes with that."""
    if one[0] is None or other[0] is None:
        return {}
    if one[1] is None or other[1] is None:
        return {"value": one[0] - other[0]}
    drawn = one[1] - other[1]
    low, high = quantile_interval(drawn, LEVEL)
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return {"value": one[0] - other[0], "low": low, "high": high, "p_value": min(1.0, 2.0 * (1 + tail) / (len(drawn) + 1))}


def _probability(tested: Tested, name: str) -> Float64:
    return np.ascontiguousarray(probabilities_of(tested.forecasts[name])[:, -1])
