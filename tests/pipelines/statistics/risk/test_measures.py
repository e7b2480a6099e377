"""Value at risk and expected shortfall against laws whose own are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from finflow.pipelines.statistics.risk.measures import CONFIDENCES
from finflow.pipelines.statistics.risk.paths import risks_of_paths
from finflow.pipelines.statistics.risk.quantiles import risks_of_quantiles, tail_quantiles
from finflow.pipelines.statistics.risk.scoring import joint_score

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995)


def quantiles_of(law: object) -> np.ndarray:
    return law.ppf(LEVELS)[None, :]  # type: ignore[attr-defined, no-any-return]


def shortfall(law: object) -> np.ndarray:
    return np.array([integrate.quad(law.ppf, one, 1, limit=200)[0] / (1 - one) for one in CONFIDENCES])  # type: ignore[attr-defined]


def test_a_tail_of_the_assumed_shape_is_met_exactly() -> None:
    for law, shape in ((stats.expon(), 0.0), (stats.genpareto(0.25), 0.25), (stats.genpareto(0.4, scale=0.01), 0.4)):
        found = risks_of_quantiles(quantiles_of(law), LEVELS, shape=shape)
        np.testing.assert_allclose(found.value_at_risk[0], law.ppf(CONFIDENCES), rtol=1e-12)
        np.testing.assert_allclose(found.expected_shortfall[0], shortfall(law), rtol=1e-6)


@pytest.mark.parametrize(("law", "worst"), [(stats.norm(), 0.04), (stats.t(6), 0.03), (stats.t(4), 0.01), (stats.t(3), 0.03)])
def test_how_far_another_tail_is_missed(law: object, worst: float) -> None:
    """With levels to 0.995 and the shape of four degrees of freedom: up to 4 % too much for a normal law, 2.5 % too little for three."""
    found = risks_of_quantiles(quantiles_of(law), LEVELS).expected_shortfall[0]
    assert np.abs(found / shortfall(law) - 1).max() < worst


def test_between_levels_and_beyond_the_last() -> None:
    law = stats.genpareto(0.25)
    at = np.array([0.6, 0.93, 0.975, 0.98, 0.995, 0.9999])
    found = tail_quantiles(quantiles_of(law), LEVELS, np.zeros(len(at), dtype=np.int64), at)
    np.testing.assert_allclose(found, law.ppf(at), rtol=1e-12)
    drawn = tail_quantiles(quantiles_of(law), LEVELS, np.zeros(400_001, dtype=np.int64), np.linspace(0.975, 1 - 1e-9, 400_001))
    assert drawn.mean() == pytest.approx(shortfall(law)[1], rel=1e-3)


def test_a_rows_bits_do_not_depend_on_its_neighbours() -> None:
    values = np.sort(np.random.default_rng(0).normal(size=(700, len(LEVELS))), axis=1)
    together = risks_of_quantiles(values, LEVELS)
    alone = risks_of_quantiles(values[300:301], LEVELS)
    assert np.array_equal(together.expected_shortfall[300], alone.expected_shortfall[0])
    assert (together.expected_shortfall >= together.value_at_risk).all()


def test_what_the_levels_do_not_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        risks_of_quantiles(np.zeros((1, 3)), (0.5, 0.75, 0.95))
    with pytest.raises(ValueError, match="two levels"):
        risks_of_quantiles(np.zeros((1, 2)), (0.1, 0.99))
    with pytest.raises(ValueError, match="ascend"):
        risks_of_quantiles(quantiles_of(stats.norm()), LEVELS, (0.99, 0.95))
    with pytest.raises(ValueError, match="shape"):
        risks_of_quantiles(quantiles_of(stats.norm()), LEVELS, shape=1.0)


def test_paths_by_hand() -> None:
    """Of losses 1 to 100: at 95 % the worst five are 96 to 100; at 97.5 % two and a half count."""
    found = risks_of_paths(np.random.default_rng(0).permutation(np.arange(1.0, 101.0))[None, :])
    np.testing.assert_allclose(found.value_at_risk[0], [95.5, 98.0, 99.5])
    np.testing.assert_allclose(found.expected_shortfall[0], [98.0, (100 + 99 + 0.5 * 98) / 2.5, 100.0])
    with pytest.raises(ValueError, match="draw 100"):
        risks_of_paths(np.zeros((1, 99)))


def test_paths_of_a_known_law() -> None:
    law = stats.t(4)
    found = risks_of_paths(law.rvs((1, 400_000), random_state=2))
    np.testing.assert_allclose(found.value_at_risk[0], law.ppf(CONFIDENCES), rtol=0.02)
    np.testing.assert_allclose(found.expected_shortfall[0], shortfall(law), rtol=0.03)


def test_the_joint_score_is_lowest_at_the_truth() -> None:
    """Fissler and Ziegel (2016): in expectation no other pair does better; here by the normal law's own integrals."""
    losses = np.random.default_rng(5).standard_normal(400_000) * 0.01
    at_risk = 0.01 * stats.norm.ppf(0.975)
    expected = 0.01 * stats.norm.pdf(stats.norm.ppf(0.975)) / 0.025

    def score(first: float, second: float) -> float:
        ones = np.ones(len(losses))
        return float(joint_score(losses, first * at_risk * ones, second * expected * ones, 0.975).mean())

    best = score(1, 1)
    for first, second in ((0.8, 1), (1.2, 1), (1, 0.8), (1, 1.2), (0.9, 0.9), (1.1, 1.1)):
        assert score(first, second) > best
    shorter = joint_score(100 * losses, 100 * at_risk, 100 * np.full(len(losses), expected), 0.975).mean()
    assert shorter - best == pytest.approx(np.log(100), abs=1e-9)  # the unit moves every score alike
    assert np.isnan(joint_score(np.zeros(1), np.zeros(1), np.zeros(1), 0.975)).all()
