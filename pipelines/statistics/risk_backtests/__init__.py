"""Backtests of value at risk and expected shortfall: did the losses that came look like what was forecast?

    kupiec(hits, probability) -> BacktestResult                    unconditional coverage (Kupiec 1995)
    christoffersen_independence(hits) -> BacktestResult            do exceptions come alone? (Christoffersen 1998)
    christoffersen(hits, probability) -> BacktestResult            conditional coverage: both at once (Christoffersen 1998)
    expected_shortfall(losses, forecasts) -> BacktestResult        Z2 of Acerbi and Szekely (2014)
    traffic_light(hits) -> TrafficLight                            the zones of the Basel Committee (1996)

Signs: a loss is positive, value at risk and expected shortfall are losses, and an exception (a hit) is a day whose loss is *greater* than
its value at risk. `probability` is that of an exception: 0.01 for a value at risk at 99 %.

Each test has up to three p-values (see `BacktestResult`). The asymptotic one is what tables give, and it is off in samples as short as
banks use: at 250 days and 1 % Kupiec's test at 5 % rejects 9.5 % of the correct models, Christoffersen's independence test 1.3 %. The Monte
Carlo p-value is exact at any length. Where a statistic has few values it is so by a toss of the coin among ties (Dufour 2006); the bound
beside it needs no coin, and never rejects too often. A decision about one model should rest on the bound, a study of many on the exact one.
"""

from __future__ import annotations

from finflow.pipelines.statistics.risk_backtests.coverage import kupiec
from finflow.pipelines.statistics.risk_backtests.independence import christoffersen, christoffersen_independence
from finflow.pipelines.statistics.risk_backtests.result import BacktestResult
from finflow.pipelines.statistics.risk_backtests.shortfall import expected_shortfall
from finflow.pipelines.statistics.risk_backtests.traffic_light import TrafficLight, traffic_light, worst_light

__all__ = [
    "BacktestResult",
    "TrafficLight",
    "christoffersen",
    "christoffersen_independence",
    "expected_shortfall",
    "kupiec",
    "traffic_light",
    "worst_light",
]
