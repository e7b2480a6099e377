"""Have the features moved from what the champion was trained on, and its answers from those it gave before it was promoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import CATEGORIES
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.evaluation.comparisons import days_of
from finflow.pipelines.lake.monitoring_checks import FEATURES, PREDICTIONS, MonitoringCheck, measured, not_measured, number
from finflow.pipelines.monitoring.champion import positions_of
from finflow.pipelines.samples.features import categorical_features, feature_reach, numeric_features
from finflow.pipelines.statistics.drift import KS, PSI, SHIFT, SPREAD, Distance, Drift, TooShortError, measure_drift
from finflow.pipelines.statistics.stability import OWN, category_cells, common_categories

if TYPE_CHECKING:
    from finflow.models.samples import Samples
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.monitoring.champion import Trained
    from finflow.pipelines.monitoring.scored import Scored

Dates = NDArray[np.datetime64]


def check_features(definition: Definition, trained: Trained, now: Samples) -> list[MonitoringCheck]:
    """Every feature over the last sessions against the rows that the champion was trained on.

    Each entity's first rows, which no feature can know, are left out.

    Args:
        now: every observation known at the as-of.
    """
    names, texts = numeric_features(definition), categorical_features(definition)
    reference, reference_dates = _features(definition, trained.samples, names)
    values, dates = _features(definition, now, names)
    if texts:
        before, after = (_codes(definition, samples) for samples in (trained.samples, now))
        placed = [_places(before[:, column], after[:, column]) for column in range(len(texts))]
        reference = np.column_stack([reference, *(one for one, _ in placed)])
        values = np.column_stack([values, *(one for _, one in placed)])
    last = np.unique(dates)[-definition.monitoring.sessions :]
    if len(last) < definition.monitoring.minimum_dates:
        return [not_measured(FEATURES, f"there are {len(last)} sessions with features, {definition.monitoring.minimum_dates} are needed")]
    recent = dates >= last[0]
    categories = {len(names) + column: OWN + 1 for column in range(len(texts))}
    return _compare(definition, FEATURES, (*names, *texts), reference, reference_dates, values[recent], dates[recent], categories)


def check_predictions(definition: Definition, trained: Trained, scored: Scored) -> list[MonitoringCheck]:
    """What the champion says (median and width of a forecast, say) over the last sessions, against its training's test parts.

    Both are out of sample. Its answers on the rows that it was fitted on would be no measure: a network says more there than it can keep.
    """
    settings = definition.monitoring
    chosen = scored.by_version(trained.version)
    last = scored.sessions[-settings.sessions :]
    chosen = chosen[chosen["time"] >= last[0]]
    dates = chosen["time"].unique()
    if len(dates) < settings.minimum_dates:
        return [
            not_measured(
                PREDICTIONS,
                f"{len(dates)} of the last {len(last)} sessions have out-of-sample predictions by version {trained.version}, "
                f"{settings.minimum_dates} are needed: finflow score or backfill {definition.name}",
            )
        ]
    rows = trained.test_predictions()
    positions = positions_of(trained.samples, rows)
    index = trained.samples.index.take(positions)
    problem = problem_of(definition)
    before = problem.signals(problem.answers(rows, index, trained.samples.observations.entities))
    names = tuple(name for name in before if name in scored.signals)
    if not names:
        return [not_measured(PREDICTIONS, "the problem says nothing of its predictions that could be compared")]
    reference = np.stack([before[name] for name in names], axis=1)
    recent = chosen[list(names)].to_numpy(dtype=np.float64)
    return _compare(definition, PREDICTIONS, names, reference, days_of(index.time), recent, chosen["time"].to_numpy())


def _compare(
    definition: Definition,
    part: str,
    names: Sequence[str],
    reference: NDArray[np.floating[Any]],
    reference_dates: Dates,
    recent: NDArray[np.floating[Any]],
    dates: Dates,
    categories: Mapping[int, int] | None = None,
) -> list[MonitoringCheck]:
    settings = definition.monitoring
    effects = {PSI: settings.psi, KS: settings.ks, SHIFT: settings.shift, SPREAD: settings.spread}
    try:
        found = measure_drift(reference, reference_dates, recent, dates, effects=effects, level=settings.level, categories=categories)
    except TooShortError as error:
        return [not_measured(part, str(error))]
    return [_check(part, names[one.column], one, found) for one in found.distances]


def _check(part: str, subject: str, one: Distance, drift: Drift) -> MonitoringCheck:
    upper = max(one.high, one.effect)
    lower = min(one.low, -one.effect if one.kind == SHIFT else 1.0 / one.effect)
    down = one.kind in (SHIFT, SPREAD) and one.value < (0.0 if one.kind == SHIFT else 1.0)
    words = {
        PSI: f"PSI {number(one.value)}",
        KS: f"KS distance {number(one.value)}",
        SHIFT: f"the mean moved by {one.value:+.2f} standard deviations",
        SPREAD: f"the standard deviation is {number(one.value)} times as large",
    }
    usual = f"below {number(one.high)}" if one.kind in (PSI, KS) else f"between {number(one.low)} and {number(one.high)}"
    missing = float(drift.missing[one.column])
    detail = f"{words[one.kind]} over {drift.sessions} sessions; an undisturbed window stays {usual}"
    if one.kind == PSI and missing:
        detail += f"; {missing:.0%} of the values are missing"
    if one.unusual and not one.matters:
        detail += "; unusual, but too small to matter"
    return measured(
        part, one.kind, subject, one.value, threshold=lower if down else upper, low=one.low, high=one.high, alarm=one.alarm, detail=detail
    )


def _features(definition: Definition, samples: Samples, names: Sequence[str]) -> tuple[NDArray[np.float32], Dates]:
    """The features of every observation with enough history: float32, [rows, features], and its date."""
    observations, known = samples.observations, _with_history(definition, samples)
    columns = [samples.column(name) for name in names]
    values = np.asarray(observations.values[observations.rows_as_known][:, columns], dtype=np.float32)[known]
    return np.where(np.isfinite(values), values, np.float32(np.nan)), observations.time[known].astype("datetime64[D]")


def _with_history(definition: Definition, samples: Samples) -> NDArray[np.bool_]:
    """bool, [rows]: observations with enough history for every feature."""
    observations = samples.observations
    age = np.arange(observations.rows) - np.repeat(observations.first[:-1], np.diff(observations.first))
    return np.asarray(age >= feature_reach(definition))


def _codes(definition: Definition, samples: Samples) -> NDArray[np.int64]:
    """The codes of the categories of every observation with enough history: int64, [rows, categories]."""
    return np.asarray(samples.observations.blocks[CATEGORIES][samples.observations.rows_as_known][_with_history(definition, samples)])


def _places(reference: NDArray[np.int64], recent: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Codes of a category as the places of its commonest ones in the reference; NaN where missing."""
    known = common_categories(reference)
    cells = (category_cells(codes, known).astype(np.float64) for codes in (reference, recent))
    before, after = (np.where(one == OWN + 1, np.nan, one) for one in cells)
    return before, after


def worst_subjects(checks: Sequence[MonitoringCheck], part: str, count: int) -> list[str]:
    """The subjects of a part that are furthest out, by their value over its threshold; those that alarm first."""
    score: dict[str, float] = {}
    for one in checks:
        if one.part == part and one.measured and one.value is not None and one.threshold:
            ratio = abs(np.log(max(one.value, 1e-12)) / np.log(one.threshold)) if one.check == SPREAD else abs(one.value / one.threshold)
            score[one.subject] = max(score.get(one.subject, 0.0), float(ratio) + 1000.0 * one.alarm)
    return sorted(score, key=lambda name: -score[name])[:count]


def feature_series(definition: Definition, samples: Samples, names: Sequence[str]) -> Mapping[str, pd.Series]:
    """Of each feature the mean over entities by date, for plots."""
    values, dates = _features(definition, samples, names)
    frame = pd.DataFrame(values, columns=list(names)).groupby(dates).mean()
    return {name: frame[name] for name in names}
