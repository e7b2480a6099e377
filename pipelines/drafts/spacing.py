"""How a draft spreads its test dates over the history there is."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

FOLDS = 5


def spread(times: pd.Series) -> float:
    """Months from the first to the last of sorted times."""
    return float((times.iloc[-1] - times.iloc[0]).days / 30.44)


def periods_to_test(times: pd.Series) -> tuple[dict[str, Any], float]:
    """Five test periods, over the last half of the history at most, and of a year at most; and how many dates one has, about.

    Args:
        times: distinct dates, sorted; `spread` over some months.
    """
    last, span = times.iloc[-1], spread(times)
    a_month = len(times) / span
    months = max(1, min(12, math.floor(span / 2 / FOLDS)), math.ceil(15 / a_month))
    first_test = (last - pd.DateOffset(months=FOLDS * months - 1)).replace(day=1)
    dates = a_month * months
    folds = {
        "first_test": first_test.date(),
        "months": months,
        "validation_months": months,
        "minimum_test": max(5, min(20, int(dates / 2))),
    }
    return folds, dates
