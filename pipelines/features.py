"""Features: functions from clean rows to one float64 column, by the name that a definition uses.

To add one: a function of a panel and a feature below, and a line in FEATURES. Each reads an entity's own rows up to the row that it
answers, never further, and computes a rolling value from the rows of its window alone, so that its bits depend on nothing outside it. Those
of pipelines/point_in_time.py read earlier rows by key instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DefinitionError
from pipelines.panel import Panel
from pipelines.point_in_time import (
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
from pipelines.variance_estimators import daily_variance

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.definition import Definition, Feature

Float64 = NDArray[np.float64]


def _log(values: Float64) -> Float64:
    """The logarithm; NaN where there is none (zero, negative, missing)."""
    return np.log(np.where(values > 0, values, np.nan))


def _returns(panel: Panel, feature: Feature) -> Float64:
    level = _log(panel[feature.column or "close"])
    return level - panel.previous(level)


def log_return(panel: Panel, feature: Feature) -> Float64:
    """log(x / previous x); NaN where either is not positive."""
    return _returns(panel, feature)


def simple_return(panel: Panel, feature: Feature) -> Float64:
    """x / previous x - 1; NaN where the previous is not positive."""
    values = panel[feature.column or "close"]
    before = panel.previous(values)
    return values / np.where(before > 0, before, np.nan) - 1.0


def change(panel: Panel, feature: Feature) -> Float64:
    """x - previous x."""
    values = panel[feature.column or "close"]
    return values - panel.previous(values)


def value(panel: Panel, feature: Feature) -> Float64:
    """x itself."""
    return panel[feature.column or "close"].copy()


def log_value(panel: Panel, feature: Feature) -> Float64:
    """log(x); NaN where x is not positive."""
    return _log(panel[feature.column or "close"])


def log_change(panel: Panel, feature: Feature) -> Float64:
    """log(x / previous x) of a quantity that may be zero (volume, turnover).

    It is 0 where either is zero: a suspension says nothing of a change.
    """
    values = panel[feature.column or "volume"]
    before = panel.previous(values)
    ratio = _log(values) - _log(before)
    return np.where(((values == 0) & (before >= 0)) | ((before == 0) & (values >= 0)), 0.0, ratio)


def log_range(panel: Panel, feature: Feature) -> Float64:
    """log(high / low) of the session: at least 0."""
    return _log(panel["high"]) - _log(panel["low"])


def overnight_return(panel: Panel, feature: Feature) -> Float64:
    """log(open / previous close)."""
    return _log(panel["open"]) - panel.previous(_log(panel["close"]))


def intraday_return(panel: Panel, feature: Feature) -> Float64:
    """log(close / open)."""
    return _log(panel["close"]) - _log(panel["open"])


def close_location(panel: Panel, feature: Feature) -> Float64:
    """Where the close lies between low (0) and high (1); one half where they are equal."""
    low, high = panel["low"], panel["high"]
    spread = high - low
    return np.where(spread == 0, 0.5, (panel["close"] - low) / np.where(spread == 0, 1.0, spread))


def rolling_mean_return(panel: Panel, feature: Feature) -> Float64:
    """The mean log return over `window` observations."""
    return panel.rolling_mean(_returns(panel, feature), feature.window or 1)


def rolling_volatility(panel: Panel, feature: Feature) -> Float64:
    """The standard deviation (ddof 1) of log returns over `window` observations, one session's, not annualised."""
    return panel.rolling_deviation(_returns(panel, feature), feature.window or 2)


#: a day's variance below this counts as this in features: a volatility of one basis point a day
VARIANCE_FLOOR = 1e-8


def log_garman_klass(panel: Panel, feature: Feature) -> Float64:
    """log of the day's variance by Garman and Klass (1980) with the overnight part, at least log(1e-8)."""
    return np.log(daily_variance("garman_klass", panel, overnight=True, floor=VARIANCE_FLOOR))


def log_parkinson(panel: Panel, feature: Feature) -> Float64:
    """log of the day's variance by Parkinson (1980) with the overnight part, at least log(1e-8)."""
    return np.log(daily_variance("parkinson", panel, overnight=True, floor=VARIANCE_FLOOR))


def log_squared_return(panel: Panel, feature: Feature) -> Float64:
    """log of the squared log return of the close, at least log(1e-8): a day's variance where the data have no range."""
    return np.log(daily_variance("squared_return", panel, overnight=False, floor=VARIANCE_FLOOR))


def standardised_return(panel: Panel, feature: Feature) -> Float64:
    """The log return over the root mean square of the `window` returns before it: how surprising the day was. 0 after no move at all."""
    moves = _returns(panel, feature)
    before = np.sqrt(panel.previous(panel.rolling_mean(moves**2, feature.window or 1)))
    return np.where(before == 0, 0.0 * moves, moves / np.where(before == 0, 1.0, before))


def negative_standardised_return(panel: Panel, feature: Feature) -> Float64:
    """`standardised_return` where it is negative, else 0: what falls do that rises do not (leverage)."""
    return np.minimum(standardised_return(panel, feature), 0.0)


def moving_average_ratio(panel: Panel, feature: Feature) -> Float64:
    """log(x / mean of the last `window` x)."""
    values = panel[feature.column or "close"]
    return _log(values) - _log(panel.rolling_mean(values, feature.window or 1))


def relative_volume(panel: Panel, feature: Feature) -> Float64:
    """log(x / mean of the last `window` x) of a quantity that may be zero: 0 where x is zero."""
    values = panel[feature.column or "volume"]
    mean = panel.rolling_mean(values, feature.window or 1)
    return np.where((values == 0) & (mean >= 0), 0.0, _log(values) - _log(mean))


def rsi(panel: Panel, feature: Feature) -> Float64:
    """The relative strength index over `window` changes, 0 to 100, with plain means (Cutler's), 50 where nothing moved.

    Wilder's own smoothing (1978) never forgets, so its bits would depend on where the history begins.
    """
    values = panel[feature.column or "close"]
    moves = values - panel.previous(values)
    window = feature.window or 14
    gains = panel.rolling_mean(np.maximum(moves, 0.0), window)
    losses = panel.rolling_mean(np.maximum(-moves, 0.0), window)
    total = gains + losses
    return np.where(total == 0, 50.0, 100.0 * gains / np.where(total == 0, 1.0, total))


def _no_number(panel: Panel, feature: Feature) -> Float64:
    raise DefinitionError(f"features: {feature.label} is a category, and no number can be made of it.")


def _weekday(panel: Panel) -> Float64:
    days = panel.time.astype("datetime64[D]").astype(np.int64)
    return ((days + 3) % 7).astype(np.float64)  # 1970-01-01 was a Thursday; Monday is 0


def _month(panel: Panel) -> Float64:
    return (panel.time.astype("datetime64[M]").astype(np.int64) % 12).astype(np.float64)


def weekday_sin(panel: Panel, feature: Feature) -> Float64:
    """sin of the weekday's angle, the week a circle of seven days."""
    return np.sin(2 * np.pi * _weekday(panel) / 7)


def weekday_cos(panel: Panel, feature: Feature) -> Float64:
    """cos of the weekday's angle."""
    return np.cos(2 * np.pi * _weekday(panel) / 7)


def month_sin(panel: Panel, feature: Feature) -> Float64:
    """sin of the month's angle, January at zero."""
    return np.sin(2 * np.pi * _month(panel) / 12)


def month_cos(panel: Panel, feature: Feature) -> Float64:
    """cos of the month's angle."""
    return np.cos(2 * np.pi * _month(panel) / 12)


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


def numeric_features(definition: Definition) -> tuple[str, ...]:
    """Names of the features that are numbers, in the definition's order."""
    return tuple(feature.label for feature in definition.features if feature.kind != CATEGORY)


def categorical_features(definition: Definition) -> tuple[str, ...]:
    """Names of the features that are categories, in the definition's order."""
    return tuple(feature.label for feature in definition.features if feature.kind == CATEGORY)


def check_features(definition: Definition) -> None:
    """See that every feature is of a known kind and has what its kind needs.

    Raises:
        DefinitionError: naming the feature and the key.
    """
    for number, feature in enumerate(definition.features):
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


def feature_reach(definition: Definition) -> int:
    """Observations before a row that its features read: the history that goes by before the first window can begin."""
    reaches = [max((feature.window or 1) - 1 + FEATURES[feature.kind].reach + feature.shift, 0) for feature in definition.features]
    return max(reaches)


def feature_frame(definition: Definition, clean: pd.DataFrame) -> pd.DataFrame:
    """The features of every clean row that are numbers, float64, in the definition's order, on the index of `clean`.

    Args:
        clean: `entity`, `time` and the columns that the features need, sorted by entity and time.

    Raises:
        DefinitionError: an unknown kind, or a column that the data do not have.
    """
    import pandas as pd

    from pipelines.problems import problem_of

    check_features(definition)

    panel = Panel(clean, problem_of(definition).outcomes)
    columns = {}
    with np.errstate(all="ignore"):  # overflow and 0/0 end as NaN or infinity, and no window holds those
        for feature in definition.features:
            if feature.kind == CATEGORY:
                continue
            columns[feature.label] = panel.previous(FEATURES[feature.kind].function(panel, feature), feature.shift)
    return pd.DataFrame(columns, index=clean.index)


def category_block(definition: Definition, clean: pd.DataFrame) -> NDArray[np.int64]:
    """The features of every clean row that are categories: int64, [rows, categories], a code each (models/categories.py), 0 where missing.

    Raises:
        DefinitionError: a column that the data do not have.
    """
    from models.categories import MISSING, category_codes

    wanted = [feature for feature in definition.features if feature.kind == CATEGORY]
    codes = np.zeros((len(clean), len(wanted)), dtype=np.int64)
    for number, feature in enumerate(wanted):
        if feature.column not in clean.columns:
            there = ", ".join(str(name) for name in clean.columns if name not in ("entity", "time", "known_at", "period"))
            raise DefinitionError(f"features: the data have no column {feature.column!r}: there are {there}.")
        place, names = distinct_texts(clean[feature.column])
        codes[:, number] = np.append(category_codes(names), MISSING)[place]  # place -1 is the last
    return codes


def distinct_texts(column: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """A column's values as texts: the place of each row's among the distinct ones (int64, [rows]; -1: missing), and these.

    Whole numbers have no decimal point, so that 2 and 2.0 are one text, and True is 1. It is the value that says so, never the column's
    dtype: that changes with a missing value, and between the table a model was trained on and the frame it is asked with. So a decimal
    that was a float32 once is the short one that it stands for, 0.1 and not 0.10000000149011612.

    Raises:
        ValueError: the column is of float32 (or 16), and holds a number of more digits than these keep: nobody can say which it was.
    """
    import pandas as pd

    place, values = pd.factorize(column)
    narrow = _is_narrow(column)
    return place, [_text(np.float32(value) if narrow else value) for value in values]


def _text(value: object) -> str:
    if not isinstance(value, (bool, int, float, np.bool_, np.number)):
        return str(value)
    number, narrow = float(value), isinstance(value, (np.float32, np.float16))
    whole = number.is_integer()
    short = None if whole else _short_decimal(number)
    if narrow and (abs(number) >= 2**24 if whole else short is None):
        raise ValueError("holds a float32 of more than its six digits: give such categories as text, whole numbers or float64")
    return str(int(number)) if whole else repr(number if short is None else short)


def _short_decimal(number: float) -> float | None:
    """The decimal of up to six digits, as many as a float32 always keeps, of which this is the float32; None: there is none."""
    short = float(f"{number:.6g}")
    with np.errstate(over="ignore", under="ignore"):
        return short if float(np.float32(short)) == number else None


def _is_narrow(column: pd.Series) -> bool:
    """Whether a column is of float32 or float16, whose values pandas hands out as Python's own."""
    dtype = getattr(column.dtype, "categories", column).dtype
    return getattr(dtype, "numpy_dtype", dtype) in (np.dtype(np.float32), np.dtype(np.float16))


def texts_of(column: pd.Series) -> list[str | None]:
    """A column's values as texts (see `distinct_texts`), None where missing."""
    place, names = distinct_texts(column)
    return [names[at] if at >= 0 else None for at in place]
