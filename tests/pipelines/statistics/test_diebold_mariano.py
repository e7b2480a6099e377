"""By hand, against statsmodels' OLS with HAC errors, and by its size under the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from finflow.pipelines.statistics import default_lag, diebold_mariano
from finflow.pipelines.statistics.diebold_mariano import long_run_variance


def test_a_worked_example() -> None:
    # differences 1, -1, 2, 0, 3: mean 1; autocovariances 10/5 = 2 and (0 * -2 + -2 * 1 + 1 * -1 + -1 * 2)/5 = -1
    a, b = np.array([2.0, 0.0, 3.0, 1.0, 4.0]), np.ones(5)
    assert long_run_variance(a - b, 0) == pytest.approx(2.0)
    assert long_run_variance(a - b, 1) == pytest.approx(2.0 + 2 * 0.5 * -1.0)
    found = diebold_mariano(a, b, lag=1, alternative="greater")
    # two steps: (5 + 1 - 4 + 2 * 1 / 5) / 5 = 0.48
    expected = 1.0 / math.sqrt(1.0 / 5) * math.sqrt(0.48)
    assert found.statistic == pytest.approx(expected)
    assert found.p_value == pytest.approx(float(student.sf(expected, 4)))
    assert found.effect == pytest.approx(-1.0)
    assert found.dates == 5


@pytest.mark.parametrize("lag", [0, 1, 4, 12])
def test_the_variance_is_that_of_statsmodels(lag: int) -> None:
    import statsmodels.api as sm

    random = np.random.default_rng(lag)
    a = np.convolve(random.gamma(2, size=404), np.ones(5), "valid")
    b = np.convolve(random.gamma(2, size=404), np.ones(5), "valid")
    fit = sm.OLS(a - b, np.ones(400)).fit(cov_type="HAC", cov_kwds={"maxlags": lag, "use_correction": False})
    found = diebold_mariano(a, b, lag=lag, alternative="two-sided")
    steps = lag + 1
    factor = math.sqrt((400 + 1 - 2 * steps + steps * (steps - 1) / 400) / 400)
    assert found.statistic == pytest.approx(float(fit.tvalues[0]) * factor, rel=1e-9)
    assert found.p_value == pytest.approx(2 * float(student.sf(abs(found.statistic), 399)), rel=1e-9)


def test_sides_and_signs() -> None:
    random = np.random.default_rng(0)
    b = random.gamma(2, size=300)
    a = b - 0.1 + random.normal(0, 0.5, 300)
    less, greater, both = (diebold_mariano(a, b, lag=3, alternative=side) for side in ("less", "greater", "two-sided"))  # type: ignore[arg-type]
    assert less.statistic is not None
    assert less.statistic < 0
    assert less.p_value < 0.05
    assert less.p_value + greater.p_value == pytest.approx(1.0)
    assert both.p_value == pytest.approx(2 * less.p_value)
    swapped = diebold_mariano(b, a, lag=3, alternative="greater")
    assert swapped.statistic == pytest.approx(-less.statistic)
    assert swapped.p_value == pytest.approx(less.p_value)
    assert less.effect == pytest.approx(1 - a.mean() / b.mean())


def test_scale_does_not_matter() -> None:
    random = np.random.default_rng(1)
    a, b = random.gamma(2, size=(2, 200))
    plain = diebold_mariano(a, b, lag=5, alternative="less")
    for factor in (1e-9, 1e9):
        assert diebold_mariano(a * factor, b * factor, lag=5, alternative="less").p_value == pytest.approx(plain.p_value, rel=1e-6)


ONES = np.ones(100)
NOISE = np.random.default_rng(2).gamma(2, size=100)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (NOISE, NOISE),
        (NOISE - 0.1, NOISE),
        (np.where(np.arange(100) == 7, np.nan, NOISE), ONES),
        (np.where(np.arange(100) == 7, -np.inf, NOISE), ONES),
        (ONES, np.where(np.arange(100) == 7, np.inf, NOISE)),
        (np.full(100, 1e308), NOISE - 1e308),
        (NOISE[:0], ONES[:0]),
        (NOISE[:1], ONES[:1]),
        (NOISE[:7], ONES[:7]),
    ],
    ids=["same", "constant", "nan", "minus-inf", "inf", "overflow", "none", "one", "fewer-than-the-lag-allows"],
)
@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
def test_what_cannot_be_compared_beats_nothing(a: np.ndarray, b: np.ndarray, alternative: str) -> None:
    found = diebold_mariano(a, b, lag=4, alternative=alternative)  # type: ignore[arg-type]
    assert found.p_value == 1.0
    assert found.statistic is None
    assert found.dates == len(a)


def test_an_effect_over_nothing_has_no_meaning() -> None:
    assert diebold_mariano(NOISE, np.zeros(100), lag=1, alternative="less").effect is None


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        diebold_mariano(NOISE, ONES[:50], lag=1)
    with pytest.raises(ValueError, match="lag"):
        diebold_mariano(NOISE, ONES, lag=-1)
    with pytest.raises(ValueError, match="alternative"):
        diebold_mariano(NOISE, ONES, lag=1, alternative="better")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dates", "horizon", "lag"), [(1250, 5, 46), (250, 1, 21), (1000, 60, 118), (40, 20, 19), (0, 1, 0), (10_000, 1, 130)]
)
def test_the_default_lag(dates: int, horizon: int, lag: int) -> None:
    assert default_lag(dates, horizon) == lag
    assert default_lag(dates, horizon) >= horizon - 1 or dates == 0


def overlapping(count: int, dates: int, horizon: int, seed: int) -> np.ndarray:
    """Differences of equally good forecasts `horizon` steps ahead: sums of so many independent shocks, [count, dates]."""
    shocks = np.random.default_rng(seed).standard_t(6, size=(count, dates + horizon))
    total = np.cumsum(np.concatenate([np.zeros((count, 1)), shocks], axis=1), axis=1)
    return total[:, horizon : horizon + dates] - total[:, :dates]


@pytest.mark.parametrize(("dates", "horizon"), [(250, 1), (250, 5), (1000, 5)])
def test_a_five_per_cent_test_errs_about_five_per_cent_of_the_time(dates: int, horizon: int) -> None:
    lag = default_lag(dates, horizon)
    p_values = [diebold_mariano(row, np.zeros(dates), lag=lag, alternative="less").p_value for row in overlapping(1500, dates, horizon, 3)]
    # the standard error of a share of 5 % over 1,500 trials is 0.6 %
    assert 0.035 < np.mean(np.array(p_values) < 0.05) < 0.07


def test_pooling_entities_of_a_date_makes_a_liberal_test() -> None:
    """Why one loss a date: ten entities that move together are not ten times the evidence."""
    common = np.random.default_rng(4).standard_normal((300, 100))
    pooled = np.repeat(common, 10, axis=1) + 0.5 * np.random.default_rng(5).standard_normal((300, 1000))
    daily = pooled.reshape(300, 100, 10).mean(axis=2)
    wrong = np.mean([diebold_mariano(row, np.zeros(1000), lag=0, alternative="less").p_value < 0.05 for row in pooled])
    right = np.mean([diebold_mariano(row, np.zeros(100), lag=0, alternative="less").p_value < 0.05 for row in daily])
    assert wrong > 0.15
    assert right < 0.09
