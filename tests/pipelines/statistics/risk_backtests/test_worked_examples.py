"""The numbers that papers and textbooks print."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from finflow.pipelines.statistics.risk_backtests import (
    TrafficLight,
    christoffersen,
    christoffersen_independence,
    kupiec,
    traffic_light,
    worst_light,
)
from finflow.pipelines.statistics.risk_backtests.coverage import coverage_ratio
from finflow.pipelines.statistics.risk_backtests.shortfall import TailForecasts, shortfall_many, simulated_statistics
from finflow.pipelines.statistics.risk_backtests.traffic_light import light_of

#: Kupiec (1995), as in Jorion, Value at Risk (3rd edition, 2007), table 6-2: exceptions N with which a model is not rejected at 5 %
NOT_REJECTED = {
    (0.010, 255): (1, 6),  # printed as N < 7, without the lower end: no exception at all gives 5.13
    (0.010, 510): (2, 10),
    (0.010, 1000): (5, 16),
    (0.025, 255): (3, 11),
    (0.025, 510): (7, 20),
    (0.025, 1000): (16, 35),
    (0.050, 255): (7, 20),
    (0.050, 510): (17, 35),
    (0.050, 1000): (38, 64),
    (0.075, 255): (12, 27),
    (0.075, 510): (28, 50),
    (0.075, 1000): (60, 91),
    (0.100, 255): (17, 35),
    (0.100, 510): (39, 64),
    (0.100, 1000): (82, 119),
}


def chain(pairs: int, apart: int, days: int) -> np.ndarray:
    """Hits of `days` days that begin and end calm: `pairs` exceptions follow one, `apart` do not."""
    hits = np.zeros(days, dtype=bool)
    hits[1 : 2 + pairs] = True
    hits[pairs + 4 : pairs + 4 + 2 * (apart - 1) : 2] = True
    return hits


def test_jp_morgan_in_1998() -> None:
    """Jorion (2007, section 6.2): 20 exceptions in 252 days at 95 %: 3.91, rejected at 5 %."""
    hits = np.zeros(252, dtype=bool)
    hits[:20] = True
    found = kupiec(hits, 0.05)
    assert found.statistic == pytest.approx(3.91, abs=0.005)
    assert found.asymptotic_p is not None
    assert found.asymptotic_p == pytest.approx(stats.chi2.sf(3.9126, 1), abs=1e-4)
    assert (found.days, found.exceptions) == (252, 20)


@pytest.mark.parametrize(("probability", "days"), NOT_REJECTED)
def test_kupiecs_regions(probability: float, days: int) -> None:
    statistic = coverage_ratio(np.arange(days + 1), days, probability)
    inside = np.flatnonzero(statistic < 3.841)
    assert (inside[0], inside[-1]) == NOT_REJECTED[probability, days]


def test_exceptions_that_follow_exceptions() -> None:
    """Jorion (2007, table 6-4): of those 20, 6 came the day after one; from day to day 218, 14, 14 and 6: 9.53, and 13.44 together."""
    hits = chain(pairs=6, apart=14, days=253)
    before, after = hits[:-1], hits[1:]
    assert [int(x.sum()) for x in (~before & ~after, ~before & after, before & ~after, before & after)] == [218, 14, 14, 6]
    found = christoffersen_independence(hits)
    assert found.statistic == pytest.approx(9.53, abs=0.01)
    assert found.asymptotic_p == pytest.approx(0.002, abs=0.0005)
    together = christoffersen(hits, 0.05)
    assert together.statistic == pytest.approx(9.53 + float(coverage_ratio(20, 253, 0.05)), abs=0.01)
    assert together.statistic == pytest.approx(13.4, abs=0.1)  # Jorion counts 252 days in the first part
    assert together.bound_p < 0.01


def test_no_exception_is_no_evidence_of_dependence() -> None:
    found = christoffersen_independence(np.zeros(250, dtype=bool))
    assert (found.statistic, found.asymptotic_p, found.bound_p) == (0.0, 1.0, 1.0)
    assert 0 < found.monte_carlo_p <= 1


def test_the_basel_committees_table() -> None:
    """Basel Committee (1996), table 2: zone, increase of the multiplier, cumulative probability in per cent."""
    printed = [
        ("green", 0.0, 8.11),
        ("green", 0.0, 28.58),
        ("green", 0.0, 54.32),
        ("green", 0.0, 75.81),
        ("green", 0.0, 89.22),
        ("yellow", 0.40, 95.88),
        ("yellow", 0.50, 98.63),
        ("yellow", 0.65, 99.60),
        ("yellow", 0.75, 99.89),
        ("yellow", 0.85, 99.97),
        ("red", 1.00, 99.99),
    ]
    for exceptions, (zone, factor, cumulative) in enumerate(printed):
        light = light_of(exceptions, 250)
        assert (light.zone, light.plus_factor) == (zone, factor)
        assert 100 * light.cumulative == pytest.approx(cumulative, abs=0.0051)
    assert light_of(11, 250).zone == "red"


def test_the_last_and_the_worst_stretch() -> None:
    hits = np.zeros(600, dtype=bool)
    hits[100:110] = True
    hits[590] = True
    assert traffic_light(hits) == TrafficLight("green", 1, 250, light_of(1, 250).cumulative, 0.0, 599)
    worst = worst_light(hits)
    assert (worst.zone, worst.exceptions, worst.plus_factor) == ("red", 10, 1.0)
    assert hits[worst.last - 249 : worst.last + 1].sum() == 10
    short = worst_light(hits[:120])
    assert (short.days, short.plus_factor) == (120, None)


def student_tail(freedom: float, days: int = 250, probability: float = 0.025) -> TailForecasts:
    law = stats.t(freedom)
    at_risk = float(law.ppf(1 - probability))
    shortfall = float(law.pdf(at_risk) / probability * (freedom + at_risk**2) / (freedom - 1))
    return TailForecasts(np.full(days, at_risk), np.full(days, shortfall), probability, lambda day, level: law.ppf(level))


@pytest.mark.parametrize(("freedom", "critical"), [(100, -0.70), (10, -0.70), (5, -0.72), (3, -0.80)])
def test_acerbi_and_szekelys_critical_values(freedom: float, critical: float) -> None:
    """Acerbi and Szekely (2014): at 97.5 % over 250 days about -0.7 at 5 % whatever the tail, a little lower for 3 degrees of freedom."""
    simulated = simulated_statistics(student_tail(freedom), 20_000, seed=1)
    assert simulated.mean() == pytest.approx(0.0, abs=0.02)
    assert np.quantile(simulated, 0.05) == pytest.approx(critical, abs=0.03)


def test_the_mean_of_z2_is_the_part_by_which_risk_was_understated() -> None:
    """With losses 1.2 times as wide as forecast, by the normal law's own integral."""
    law, probability = stats.norm, 0.025
    at_risk = law.ppf(1 - probability)
    shortfall = law.pdf(at_risk) / probability
    forecasts = TailForecasts(np.full(250, at_risk), np.full(250, shortfall), probability, lambda day, level: law.ppf(level))
    losses = 1.2 * np.random.default_rng(3).standard_normal((4_000, 250))
    statistic, _, _ = shortfall_many(losses, forecasts)
    expected = 1.0 - 1.2 * law.pdf(at_risk / 1.2) / (probability * shortfall)
    assert statistic.mean() == pytest.approx(expected, abs=0.02)
