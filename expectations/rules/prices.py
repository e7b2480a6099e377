"""Prices are positive, and a bar's prices stand in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import numeric
from finflow.expectations.rule import Core, Mask, RowRule, between

PRICES = ("open", "high", "low", "close")
# Adjusted prices are rounded apart from each other: a part in a million is no disorder.
ROUNDING = 1e-6


@dataclass(frozen=True)
class PositivePrices(RowRule):
    """Prices are above zero."""

    name = "positive_prices"
    severity = "row"
    statement = "prices are positive"
    remedy = "correct the prices at the source, or set `allow_negative: true` where the market allows them"

    def core(self, batch: pd.DataFrame) -> list[Core]:
        return [between(column, min_value=0, strict_min=True) for column, _ in numeric(batch, PRICES)]

    def broken(self, batch: pd.DataFrame) -> Mask:
        rows = np.zeros(len(batch), dtype=bool)
        for _, values in numeric(batch, PRICES):
            rows |= values <= 0
        return rows

    def example(self, row: pd.Series) -> str:
        return ", ".join(f"{price} {row[price]:g}" for price in PRICES if price in row.index and row[price] <= 0)


@dataclass(frozen=True)
class BarOrder(RowRule):
    """high >= max(open, close) >= min(open, close) >= low, as far as the columns go."""

    name = "bar_order"
    severity = "row"
    statement = "high >= max(open, close) >= min(open, close) >= low"
    remedy = "correct the bars at the source (swapped columns, a price of another unit)"

    def broken(self, batch: pd.DataFrame) -> Mask:
        prices = dict(numeric(batch, PRICES))
        rows = np.zeros(len(batch), dtype=bool)
        for upper, lower in (("high", "open"), ("high", "close"), ("high", "low"), ("open", "low"), ("close", "low")):
            if upper in prices and lower in prices:
                above, below = prices[upper], prices[lower]
                rows |= below - above > ROUNDING * np.abs(above)
        return rows

    def example(self, row: pd.Series) -> str:
        return ", ".join(f"{price} {row[price]:g}" for price in PRICES if price in row.index)
