"""The suite for price bars: one row an entity and session, with close and as much of open, high, low and volume as the source has."""

from __future__ import annotations

from finflow.expectations.rule import Rule
from finflow.expectations.rules.constant import NotConstant
from finflow.expectations.rules.dates import NoFutureDates, TradingDays
from finflow.expectations.rules.gaps import NoGaps
from finflow.expectations.rules.history import EnoughHistory, ShortHistory
from finflow.expectations.rules.jumps import NoJumps
from finflow.expectations.rules.keys import KeyNotNull, UniqueKey
from finflow.expectations.rules.knowledge import KnownAfterClose
from finflow.expectations.rules.prices import PRICES, BarOrder, PositivePrices
from finflow.expectations.rules.shape import BarColumns, Columns, NotEmpty, Types
from finflow.expectations.rules.stale import NotStale
from finflow.expectations.rules.values import Finite, NotMissing
from finflow.expectations.rules.volume import VolumeNotNegative
from finflow.expectations.tuning import Tuning


def bar_rules(tuning: Tuning) -> list[Rule]:
    """Everything that can be asked of daily bars.

    A missing value breaks a row in the columns that the definition reads, and in prices that the source does have; a volume that nothing
    reads may be missing (early history often has none).
    """
    read = tuple(dict.fromkeys(("close", *tuning.columns)))
    valued = tuple(dict.fromkeys((*read, *(price for price in PRICES if price in tuning.present))))
    numbers = tuple(dict.fromkeys((*read, *(name for name in (*PRICES, "volume") if name in tuning.present))))
    rules: list[Rule] = [
        NotEmpty(),
        Columns(read),
        Types(numbers),
        BarColumns(),
        KeyNotNull(),
        UniqueKey(),
        NoFutureDates(tuning.latest),
        KnownAfterClose(),
        NotMissing(valued),
        Finite(),
        BarOrder(),
        VolumeNotNegative(),
    ]
    if not tuning.allow_negative:
        rules.append(PositivePrices())
    if tuning.calendar is not None:
        rules.append(TradingDays(tuning.calendar))
    rules += [
        EnoughHistory(tuning.minimum_history),
        ShortHistory(tuning.minimum_history),
        NoGaps(tuning.maximum_gap),
        NotStale(tuning.stale_days),
        NoJumps(tuning.jump, tuning.maximum_gap, tuning.price_limit),
        NotConstant(by_entity=True),
    ]
    return rules
