"""Fairness of decisions by group: how often each group is flagged, rightly and wrongly, ranked and told true probabilities.

A row is flagged where its probability reaches the cost threshold. What is good for a person depends on what the last class is: of a default
or a fraud, being flagged is a refusal, and equal opportunity for those who deserve none (Hardt, Price and Srebro, 2016) is an equal
`false_positive_rate`; of an offer that is taken up, it is an equal `true_positive_rate`. Both are reported. No set of figures can be equal
at once where base rates differ (Chouldechova, 2017; Kleinberg et al., 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import Int64
from finflow.pipelines.core.manifests import Check
from finflow.pipelines.statistics.bootstrap import Resampling, quantile_interval
from finflow.pipelines.statistics.delong import area_under_curve
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

Limit = Literal["selection_rate", "selection_ratio", "acceptance_ratio", "equal_opportunity", "false_positive_rate", "auc", "calibration"]

#: a figure that rests on fewer entities (people, not their rows) is flagged as small, and no limit is held against it
SMALL = 30
LEVEL = 0.95
ROUNDING = 1e-9
#: figure and what a limit on it is about; a ratio's limit is the least, all others' the most that is allowed
LIMITS: Mapping[str, tuple[str, str]] = {
    "selection_rate": ("selection_rate", "largest difference of the parts flagged"),
    "selection_ratio": ("selection_rate", "smallest part flagged over the largest"),
    "acceptance_ratio": ("selection_rate", "smallest part not flagged over the largest"),
    "equal_opportunity": ("true_positive_rate", "largest difference of the true positive rates"),
    "false_positive_rate": ("false_positive_rate", "largest difference of the false positive rates"),
    "auc": ("auc", "largest difference of the AUCs"),
    "calibration": ("calibration", "largest distance of a group's mean probability from its rate"),
}


@dataclass(frozen=True, eq=False)
class Decided:
    """What is judged: probabilities of the last class, what came, what is flagged, and who belongs together; each [n]."""

    probability: Float64
    code: Int64
    flagged: NDArray[np.bool_]
    entity: Int64


def group_figures(decided: Decided, groups: Mapping[str, NDArray[np.str_]], draws: Resampling | None) -> pd.DataFrame:
    """One row a column, group and figure, the largest group of a column first.

    Figures: `base_rate`, `selection_rate` (the part flagged), `true_positive_rate`, `false_positive_rate`, `auc`, `mean_probability` and
    `calibration` (mean probability less base rate).

    Args:
        groups: by column, text [n].
        draws: of the same rows' dates, for intervals; None: no intervals.

    Returns:
        `column`, `group`, `rows`, `positives`, `figure`, `value`, `low`, `high` (95 %), `base` (entities that the figure rests on: those of
        the class that it is a part of, the rarer class for the AUC), `small` (they are fewer than 30), and, against the largest group of
        the column, `difference`, `difference_low`, `difference_high`, `ratio`, `ratio_low`, `ratio_high`. NaN where there is no value: a
        rate of no row, an AUC of one class alone. The AUC's intervals are DeLong's, clustered by entity, all others the draws'.
    """
    rows: list[dict[str, Any]] = []
    for column, texts in groups.items():
        names, place, counts = np.unique(texts, return_inverse=True, return_counts=True)
        against: dict[str, tuple[Any, ...]] = {}
        for number in np.argsort(-counts, kind="stable"):
            mine = place.ravel() == number
            rates = _rates(decided, mine, draws)
            rates["auc"] = _auc(decided, mine)
            against = against or rates
            about = {"column": column, "group": str(names[number]), "rows": int(counts[number]), "positives": int(decided.code[mine].sum())}
            for figure, one in rates.items():
                same = rates is against
                compared = _unlike(figure, one, against[figure]) if not same else {}
                rows.append({**about, "figure": figure, **_plain(one), **compared})
    columns = [
        *("column", "group", "rows", "positives", "figure", "value", "low", "high", "base", "small"),
        *("difference", "difference_low", "difference_high", "ratio", "ratio_low", "ratio_high"),
    ]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({name: np.float64 for name in columns if name in ("value", "low", "high") or name.startswith(("diff", "ratio"))})


def _rates(decided: Decided, mine: NDArray[np.bool_], draws: Resampling | None) -> dict[str, tuple[Any, ...]]:
    """By figure: value, replicates (or None), base."""
    came, flag = decided.code == 1, decided.flagged
    held = {
        "base_rate": (came, mine),
        "selection_rate": (flag, mine),
        "true_positive_rate": (flag, mine & came),
        "false_positive_rate": (flag, mine & ~came),
        "mean_probability": (decided.probability, mine),
        "calibration": (decided.probability - came, mine),
    }
    rates: dict[str, tuple[Any, ...]] = {}
    for figure, (part, whole) in held.items():
        base = len(np.unique(decided.entity[whole]))
        if draws is None or not base:
            rates[figure] = (float(part[whole].mean()) if base else float("nan"), None, base)
            continue
        weight = whole.astype(np.float64)
        value, replicates = draws.take(MetricParts(figure, (weight * part, weight), _ratio, "target", pooled=True))
        rates[figure] = (float("nan") if value is None else value, replicates, base)
    return rates


def _auc(decided: Decided, mine: NDArray[np.bool_]) -> tuple[Any, ...]:
    code = decided.code[mine]
    area = area_under_curve(decided.probability[mine], code, cluster=decided.entity[mine], level=LEVEL)
    base = min(len(np.unique(decided.entity[mine & (decided.code == number)])) for number in (0, 1))
    return float("nan") if area.value is None else area.value, area, base


def _plain(one: tuple[Any, ...]) -> dict[str, Any]:
    value, spread, base = one
    low, high = (spread.low, spread.high) if hasattr(spread, "low") else quantile_interval(spread, LEVEL)
    return {"value": value, "low": low, "high": high, "base": base, "small": base < SMALL}


def _unlike(figure: str, one: tuple[Any, ...], other: tuple[Any, ...]) -> dict[str, Any]:
    """Difference and ratio to the largest group's. Under the same draws, so that what both share (a bad year) is no difference; of AUCs, of
    different people, the errors add up."""
    (value, spread, _), (against, other_spread, _) = one, other
    unlike: dict[str, Any] = {"difference": value - against}
    if figure == "auc":
        if spread.error is not None and other_spread.error is not None:
            reach = 1.959963984540054 * float(np.hypot(spread.error, other_spread.error))
            unlike |= {"difference_low": value - against - reach, "difference_high": value - against + reach}
        return unlike
    if figure != "calibration":
        unlike["ratio"] = value / against if against else float("nan")
    if spread is None or other_spread is None:
        return unlike
    unlike["difference_low"], unlike["difference_high"] = quantile_interval(spread - other_spread, LEVEL)
    if figure != "calibration" and (other_spread > 0).all():
        unlike["ratio_low"], unlike["ratio_high"] = quantile_interval(spread / other_spread, LEVEL)
    return unlike


def _ratio(part: Float64, whole: Float64) -> Float64:
    return np.asarray(np.divide(part, whole))


def fairness_checks(figures: pd.DataFrame, limits: Mapping[str, float]) -> tuple[Check, ...]:
    """One check a limit, over all columns: passed where no column is beyond it.

    It is the measured value that a limit is held against, not what chance would allow: a limit is a promise about decisions. Groups whose
    figure rests on fewer than 30 entities are left out, and the words say so; a column of which fewer than two groups are left cannot be
    judged, and fails (`calibration` needs one).

    Args:
        figures: of `group_figures`.
        limits: by name, as `LIMITS`.
    """
    return tuple(_check(name, limit, figures) for name, limit in limits.items())


def _check(name: str, limit: float, figures: pd.DataFrame) -> Check:
    figure, title = LIMITS[name]
    least = name.endswith("_ratio")
    mine = figures[figures["figure"] == figure]
    told, numbers, passed, severity = [], {}, True, 0.0
    for column, part in mine.groupby("column", sort=False):
        judged = part[~part["small"].astype(bool) & part["value"].notna()]
        left_out = [str(group) for group in part.loc[~part.index.isin(judged.index), "group"]]
        beside = f" (too small to judge: {', '.join(left_out)})" if left_out else ""
        if len(judged) < (1 if name == "calibration" else 2):
            told.append(f"{column}: cannot be judged, for fewer than two groups have {SMALL} entities that it rests on{beside}")
            passed, severity = False, float("inf")
            continue
        value, where = _worst(name, judged)
        within = value >= limit - ROUNDING if least else value <= limit + ROUNDING
        told.append(f"{column}: {value:.3f} ({where}){beside}")
        numbers[str(column)] = value
        passed = passed and within
        severity = max(severity, limit - value if least else value - limit)
    words = f"{title}, {'at least' if least else 'at most'} {limit:g} is allowed: {'; '.join(told)}"
    return Check(f"fairness_{name}", passed, words, numbers, severity=min(severity, 1e9))


def _worst(name: str, judged: pd.DataFrame) -> tuple[float, str]:
    """The value that a limit is held against, and the groups it is of."""
    values, groups = judged["value"].to_numpy(dtype=np.float64), judged["group"].to_numpy()
    if name == "calibration":
        at = int(np.abs(values).argmax())
        return float(abs(values[at])), str(groups[at])
    if name == "acceptance_ratio":
        values = 1.0 - values
    low, high = int(values.argmin()), int(values.argmax())
    where = f"{groups[low]} {values[low]:.3f}, {groups[high]} {values[high]:.3f}" if low != high else f"{values[low]:.3f} in all"
    if name.endswith("_ratio"):
        return float(values[low] / values[high]) if values[high] > 0 else 1.0, where
    return float(values[high] - values[low]), where
