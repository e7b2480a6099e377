"""The traffic light of the Basel Committee (1996): how many exceptions of the 99 % value at risk there were in 250 days.

Supervisory framework for the use of "backtesting" in conjunction with the internal models approach to market risk capital requirements,
Basel Committee on Banking Supervision, January 1996. The yellow zone begins where a right model has so many exceptions or fewer with a
probability of at least 95 %, the red zone where that is 99.99 %; in 250 days at 99 % these are 5 and 10 exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from finflow.pipelines.statistics.risk_backtests.result import check_probability, read_hits

DAYS = 250
PROBABILITY = 0.01
YELLOW, RED = 0.95, 0.9999
#: what is added to the capital multiplier of 3, by the number of exceptions in 250 days
PLUS_FACTORS = {5: 0.40, 6: 0.50, 7: 0.65, 8: 0.75, 9: 0.85}
RED_FACTOR = 1.00


@dataclass(frozen=True)
class TrafficLight:
    """The light of one stretch of days.

    Attributes:
        cumulative: probability that a right model has so many exceptions or fewer.
        plus_factor: of the capital multiplier; None where the stretch is not 250 days at 99 %, for which alone it is defined.
        last: position of the stretch's last day.
    """

    zone: Literal["green", "yellow", "red"]
    exceptions: int
    days: int
    cumulative: float
    plus_factor: float | None
    last: int


def traffic_light(hits: Any, probability: float = PROBABILITY, days: int = DAYS) -> TrafficLight:
    """The light of the last `days` days (of all, where there are fewer).

    Args:
        hits: bool, [any], in time order.
    """
    exceeded = read_hits(hits)[-days:]
    return light_of(int(exceeded.sum()), len(exceeded), probability, len(np.asarray(hits)) - 1)


def worst_light(hits: Any, probability: float = PROBABILITY, days: int = DAYS) -> TrafficLight:
    """The light of the `days` days in a row with the most exceptions; the latest such, where there are several."""
    exceeded = read_hits(hits)
    if len(exceeded) <= days:
        return traffic_light(exceeded, probability, days)
    counted = np.concatenate(([0], np.cumsum(exceeded)))
    windows = counted[days:] - counted[:-days]
    place = len(windows) - 1 - int(np.argmax(windows[::-1]))
    return light_of(int(windows[place]), days, probability, place + days - 1)


def light_of(exceptions: int, days: int, probability: float = PROBABILITY, last: int = 0) -> TrafficLight:
    """The light for so many exceptions in so many days."""
    from scipy.stats import binom

    check_probability(probability)
    cumulative = float(binom.cdf(exceptions, days, probability))
    zone: Literal["green", "yellow", "red"] = "red" if cumulative >= RED else "yellow" if cumulative >= YELLOW else "green"
    factor = None
    if (days, probability) == (DAYS, PROBABILITY):
        factor = 0.0 if zone == "green" else RED_FACTOR if zone == "red" else PLUS_FACTORS[exceptions]
    return TrafficLight(zone, exceptions, days, cumulative, factor, last)
