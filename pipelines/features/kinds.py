"""Features: the kinds that a definition may name, and the columns that they make of clean rows.

To add one: a function of a panel and a feature in pipelines/features/prices.py, and a line in FEATURES.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.features.panel import Float64, Panel
from finflow.pipelines.features.point_in_time import (
    count_before,
    hour_cos,
    hour_sin,
    mean_before,
    outcome_count_before,
    outcome_rate_before,
    relative_to_mean_before,
    sum_before,
    time_since,
)
from finflow.pipelines.features.prices import (
    change,
    close_location,
    intraday_return,
    log_change,
    log_garman_klass,
    log_parkinson,
    log_range,
    log_return,
    log_squared_return,
    log_value,
    month_cos,
    month_sin,
    moving_average_ratio,
    negative_standardised_return,
    overnight_return,
    relative_volume,
    rolling_mean_return,
    rolling_volatility,
    rsi,
    simple_return,
    standardised_return,
    value,
    weekday_cos,
    weekday_sin,
)

if TYPE_CHECKING:
    from finflow.pipelines.settings.parts import Feature


def _no_number(panel: Panel, feature: Feature) -> Float64:
    raise DefinitionError(f"features: {feature.label} is a category, and no number can be made of it.")


#: the kind of a feature that is a text: it is no column of numbers but one of codes (see `category_block`)
CATEGORY = "category"


@dataclass(frozen=True)
class FeatureKind:
    """A function and what it takes.

    Attributes:
        column: whether `column` may be given (`optional`: it has a default; `required`; `none`).
        smallest_window: the least `window`, which must then be given; None: it takes none.
        reach: observations beyond the window that it reads (one for a change).
        takes: further fields of a feature that may be given: `key`, `days`, `delay_days`.
    """

    function: Callable[[Panel, Feature], Float64]
    column: str = "optional"
    smallest_window: int | None = None
    reach: int = 0
    takes: tuple[str, ...] = ()


_PAST = ("key", "days")
_OUTCOME = (*_PAST, "delay_days")


FEATURES: dict[str, FeatureKind] = {
    "log_return": FeatureKind(log_return, reach=1),
    "simple_return": FeatureKind(simple_return, reach=1),
    "change": FeatureKind(change, column="required", reach=1),
    "value": FeatureKind(value, column="required"),
    "log_value": FeatureKind(log_value, column="required"),
    "log_change": FeatureKind(log_change, reach=1),
    "log_range": FeatureKind(log_range, column="none"),
    "overnight_return": FeatureKind(overnight_return, column="none", reach=1),
    "intraday_return": FeatureKind(intraday_return, column="none"),
    "close_location": FeatureKind(close_location, column="none"),
    "rolling_mean_return": FeatureKind(rolling_mean_return, smallest_window=1, reach=1),
    "rolling_volatility": FeatureKind(rolling_volatility, smallest_window=2, reach=1),
    "log_garman_klass": FeatureKind(log_garman_klass, column="none", reach=1),
    "log_parkinson": FeatureKind(log_parkinson, column="none", reach=1),
    "log_squared_return": FeatureKind(log_squared_return, column="none", reach=1),
    "standardised_return": FeatureKind(standardised_return, smallest_window=2, reach=2),
    "negative_standardised_return": FeatureKind(negative_standardised_return, smallest_window=2, reach=2),
    "moving_average_ratio": FeatureKind(moving_average_ratio, smallest_window=2),
    "relative_volume": FeatureKind(relative_volume, smallest_window=2),
    "rsi": FeatureKind(rsi, smallest_window=2, reach=1),
    "weekday_sin": FeatureKind(weekday_sin, column="none"),
    "weekday_cos": FeatureKind(weekday_cos, column="none"),
    "month_sin": FeatureKind(month_sin, column="none"),
    "month_cos": FeatureKind(month_cos, column="none"),
    "hour_sin": FeatureKind(hour_sin, column="none"),
    "hour_cos": FeatureKind(hour_cos, column="none"),
    "count_before": FeatureKind(count_before, column="none", takes=_PAST),
    "sum_before": FeatureKind(sum_before, column="required", takes=_PAST),
    "mean_before": FeatureKind(mean_before, column="required", takes=_PAST),
    "relative_to_mean_before": FeatureKind(relative_to_mean_before, column="required", takes=_PAST),
    "time_since": FeatureKind(time_since, column="none", takes=("key",)),
    "outcome_count_before": FeatureKind(outcome_count_before, column="none", takes=_OUTCOME),
    "outcome_rate_before": FeatureKind(outcome_rate_before, column="none", takes=_OUTCOME),
    CATEGORY: FeatureKind(_no_number, column="required"),
}


def check_features(features: Sequence[Feature]) -> None:
    """See that every feature of a definition is of a known kind and has what its kind needs.

    Raises:
        DefinitionError: naming the feature and the key.
    """
    for number, feature in enumerate(features):
        where = f"features.{number} ({feature.label})"
        kind = FEATURES.get(feature.kind)
        if kind is None:
            raise DefinitionError(f"{where}: no feature of kind {feature.kind!r}: there are {', '.join(sorted(FEATURES))}.")
        if feature.label.startswith("__"):
            raise DefinitionError(f"{where}: names beginning with '__' are kept for the problem's own columns; give another `name`.")
        if feature.kind == CATEGORY and feature.shift:
            raise DefinitionError(f"{where}: a category takes no `shift`; leave it out.")
        if kind.column == "required" and not feature.column:
            raise DefinitionError(f"{where}: `column` is missing: name the clean column that {feature.kind} is made of.")
        if kind.column == "none" and feature.column:
            raise DefinitionError(f"{where}: {feature.kind} takes no `column`; leave it out.")
        if kind.smallest_window is None and feature.window is not None:
            raise DefinitionError(f"{where}: {feature.kind} takes no `window`; leave it out.")
        if kind.smallest_window is not None and (feature.window is None or feature.window < kind.smallest_window):
            raise DefinitionError(f"{where}: {feature.kind} needs a `window` of at least {kind.smallest_window} sessions.")
        for key in _OUTCOME:
            if getattr(feature, key) is not None and key not in kind.takes:
                raise DefinitionError(f"{where}: {feature.kind} takes no `{key}`; leave it out.")
