"""By hand, against a plain loop, and by its size under the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from finflow.pipelines.statistics import cosine_terms, diebold_mariano
from finflow.pipelines.statistics.diebold_mariano import cosine_variance


def test_a_worked_example() -> None:
    # differences 1, -1, 2, 0, 3: mean 1; one cosine, at 18, 54, 90, 126 and 162 degrees
    a, b = np.array([2.0, 0.0, 3.0, 1.0, 4.0]), np.ones(5)
    transform = math.sqrt(2 / 5) * (1 * 0.9510565 - 1 * 0.5877853 + 2 * 0.0 - 0 * 0.5877853 - 3 * 0.9510565)
    assert cosine_terms(5, 1) == 1
    assert cosine_variance(a - b, 1) == pytest.approx(transform**2, rel=1e-6)
    found = diebold_mariano(a, b, horizon=1, alternative="greater")
    expected = 1.0 / math.sqrt(transform**2 / 5)
    assert found.statistic == pytest.approx(expected, rel=1e-6)
    assert found.p_value == pytest.approx(float(student.sf(expected, 1)), rel=1e-6)
    assert found.effect == pytest.approx(-1.0)
    assert found.dates == 5


@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_the_variance_is_that_of_a_plain_loop(horizon: int) -> None:
    values = np.convolve(np.random.default_rng(horizon).gamma(2, size=404), np.ones(5), "valid")
    count, total = len(values), 0.0
    for term in range(1, cosine_terms(count, horizon) + 1):
        wave = [math.cos(math.pi * term * (date + 0.5) / count) for date in range(count)]
        # how much of the power at frequency 0 a sum of `horizon` shocks keeps at this one
        kept = abs(sum(np.exp(1j * math.pi * term / count * shock) for shock in range(horizon))) ** 2 / horizon**2
        total += 2.0 / count * float(values @ np.array(wave)) ** 2 / kept
    assert cosine_variance(values, horizon) == pytest.approx(total / cosine_terms(count, horizon), rel=1e-9)


def test_it_is_right_on_average_however_long_losses_overlap() -> None:
    for horizon in (1, 5, 20):
        found = [cosine_variance(row, horizon) for row in overlapping(2000, 500, horizon, 8)]
        truth = horizon**2 * 6 / 4  # of Student's t with 6 degrees of freedom
        assert np.mean(found) == pytest.approx(truth, rel=0.05)


def test_sides_and_signs() -> None:
    random = np.random.default_rng(0)
    b = random.gamma(2, size=300)
    a = b - 0.1 + random.normal(0, 0.5, 300)
    less, greater, both = (diebold_mariano(a, b, horizon=3, alternative=side) for side in ("less", "greater", "two-sided"))  # type: ignore[arg-type]
    assert less.statistic is not None
    assert less.statistic < 0
    assert less.p_value < 0.05
    assert less.p_value + greater.p_value == pytest.approx(1.0)
    assert both.p_value == pytest.approx(2 * less.p_value)
    swapped = diebold_mariano(b, a, horizon=3, alternative="greater")
    assert swapped.statistic == pytest.approx(-less.statistic)
    assert swapped.p_value == pytest.approx(less.p_value)
    assert less.effect == pytest.approx(1 - a.mean() / b.mean())


def test_scale_does_not_matter() -> None:
    random = np.random.default_rng(1)
    a, b = random.gamma(2, size=(2, 200))
    plain = diebold_mariano(a, b, horizon=5, alternative="less")
    for factor in (1e-9, 1e9):
        assert diebold_mariano(a * factor, b * factor, horizon=5, alternative="less").p_value == pytest.approx(plain.p_value, rel=1e-6)


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
    ids=["same", "constant", "nan", "minus-inf", "inf", "overflow", "none", "one", "fewer-than-two-horizons"],
)
@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
def test_what_cannot_be_compared_beats_nothing(a: np.ndarray, b: np.ndarray, alternative: str) -> None:
    found = diebold_mariano(a, b, horizon=4, alternative=alternative)  # type: ignore[arg-type]
    assert found.p_value == 1.0
    assert found.statistic is None
    assert found.dates == len(a)


def test_an_effect_over_nothing_has_no_meaning() -> None:
    assert diebold_mariano(NOISE, np.zeros(100), horizon=1, alternative="less").effect is None


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        diebold_mariano(NOISE, ONES[:50], horizon=1)
    with pytest.raises(ValueError, match="horizon"):
        diebold_mariano(NOISE, ONES, horizon=0)
    with pytest.raises(ValueError, match="alternative"):
        diebold_mariano(NOISE, ONES, horizon=1, alternative="better")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dates", "horizon", "terms"), [(1250, 5, 46), (250, 1, 15), (250, 20, 6), (1000, 60, 8), (40, 20, 1), (0, 1, 1), (10_000, 1, 185)]
)
def test_the_number_of_cosines(dates: int, horizon: int, terms: int) -> None:
    assert cosine_terms(dates, horizon) == terms


def overlapping(count: int, dates: int, horizon: int, seed: int) -> np.ndarray:
    """Differences of equally good forecasts `horizon` steps ahead: sums of so many independent shocks, [count, dates]."""
    shocks = np.random.default_rng(seed).standard_t(6, size=(count, dates + horizon))
    total = np.cumsum(np.concatenate([np.zeros((count, 1)), shocks], axis=1), axis=1)
    return total[:, horizon : horizon + dates] - total[:, :dates]


@pytest.mark.parametrize(("dates", "horizon"), [(60, 1), (250, 1), (250, 5), (1000, 5), (60, 20), (250, 20)])
def test_a_five_per_cent_test_errs_five_per_cent_of_the_time(dates: int, horizon: int) -> None:
    """In small samples, too; of 3,000 tries and both sides, the standard error of a share of 5 % is 0.3 %."""
    differences = overlapping(3000, dates, horizon, 3)
    less = np.array([diebold_mariano(row, np.zeros(dates), horizon=horizon, alternative="less").p_value for row in differences])
    errors = (np.mean(less < 0.05) + np.mean(less > 0.95)) / 2
    assert 0.041 < errors < 0.06


def test_pooling_entities_of_a_date_makes_a_liberal_test() -> None:
    """Why one loss a date: ten entities that move together are not ten times the evidence."""
    common = np.random.default_rng(4).standard_normal((300, 100))
    pooled = np.repeat(common, 10, axis=1) + 0.5 * np.random.default_rng(5).standard_normal((300, 1000))
    daily = pooled.reshape(300, 100, 10).mean(axis=2)
    # as many independent losses as there are rows
    wrong = np.mean([ttest_1samp(row, 0.0, alternative="less").pvalue < 0.05 for row in pooled])
    right = np.mean([diebold_mariano(row, np.zeros(100), horizon=1, alternative="less").p_value < 0.05 for row in daily])
    assert wrong > 0.15
    assert right < 0.09
