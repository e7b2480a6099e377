"""Areas under curves against formulas written out pair by pair, and against how they vary in fact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from finflow.models.samples import Float64
from finflow.pipelines.statistics.delong import area_difference, area_under_curve, placements


def kernel(score: Float64, code: NDArray[np.int64]) -> Float64:
    """Every pair of one that came (rows) and one that did not: 1, one half for a tie, 0."""
    positive, negative = score[code == 1][:, None], score[code == 0][None]
    return np.asarray((positive > negative) + 0.5 * (positive == negative))


def made(count: int, seed: int) -> tuple[Float64, Float64, NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    code = (generator.random(count) < 0.3).astype(np.int64)
    return np.round(code + generator.normal(size=count), 1), np.round(0.6 * code + generator.normal(size=count), 1), code


def test_difference_is_that_of_the_formulas_of_the_paper() -> None:
    """DeLong et al. (1988), equations 4 to 8, with the covariances of structural components by numpy."""
    first, second, code = made(300, 1)
    kernels = [kernel(score, code) for score in (first, second)]
    areas = [one.mean() for one in kernels]
    by_positive, by_negative = np.array([one.mean(axis=1) for one in kernels]), np.array([one.mean(axis=0) for one in kernels])
    covariance = np.cov(by_positive) / by_positive.shape[1] + np.cov(by_negative) / by_negative.shape[1]
    error = np.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))
    found = area_difference(first, second, code)
    assert found.value == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert found.error == pytest.approx(error, rel=1e-12)
    assert found.p_value == pytest.approx(2 * norm.sf((areas[0] - areas[1]) / error), rel=1e-9)
    assert found.low == pytest.approx(areas[0] - areas[1] - 1.959964 * error, abs=1e-6)
    alone = area_under_curve(first, code)
    assert (alone.value, alone.error) == pytest.approx((areas[0], np.sqrt(covariance[0, 0])), rel=1e-12)


def test_areas_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    first, _, code = made(2000, 2)
    placed, area = placements(first, code)
    assert area == pytest.approx(roc_auc_score(code, first), abs=1e-12)
    assert placed[code == 0].mean() == pytest.approx(area, abs=1e-12)


def test_by_hand() -> None:
    # of four pairs three are right and one is a tie
    found = area_under_curve(np.array([3.0, 1.0, 1.0, 0.0]), np.array([1, 1, 0, 0]))
    assert found.value == 0.875
    # placements 1, .75 and .75, 1: variance .03125 in each class, over 2 rows in each
    assert found.error == pytest.approx(np.sqrt(0.03125 / 2 + 0.03125 / 2))


def test_clusters_as_obuchowski_has_them() -> None:
    """Her sums written out, cluster by cluster; and rows told twice are no news."""
    first, _, code = made(200, 3)
    cluster = np.random.default_rng(0).integers(60, size=200)
    pairs = kernel(first, code)
    area, m, n = pairs.mean(), *pairs.shape
    by_positive, by_negative = pairs.mean(axis=1), pairs.mean(axis=0)
    own, other, both = [], [], []
    for one in np.unique(cluster):
        above = by_positive[cluster[code == 1] == one]
        below = by_negative[cluster[code == 0] == one]
        own += [(above.sum() - len(above) * area) ** 2] if len(above) else []
        other += [(below.sum() - len(below) * area) ** 2] if len(below) else []
        both.append((above.sum() - len(above) * area) * (below.sum() - len(below) * area))
    variance = (
        len(own) / (len(own) - 1) * sum(own) / m**2
        + len(other) / (len(other) - 1) * sum(other) / n**2
        + 2 * len(both) / (len(both) - 1) * sum(both) / (m * n)
    )
    assert area_under_curve(first, code, cluster=cluster).error == pytest.approx(np.sqrt(variance), rel=1e-10)
    each = area_under_curve(first, code, cluster=np.arange(200))
    assert each == area_under_curve(first, code)
    twice = area_under_curve(np.repeat(first, 3), np.repeat(code, 3), cluster=np.repeat(np.arange(200), 3))
    assert twice.error == pytest.approx(each.error, rel=1e-10)
    assert twice.clusters == 200


def test_the_size_of_the_test_where_rows_of_an_entity_repeat() -> None:
    """Two rankings of equal worth, each with an error of its own a customer: by rows a 5 % test is a 25 % one, by customers it is one."""
    generator = np.random.default_rng(4)
    by_row, by_entity = [], []
    entity = np.repeat(np.arange(150), 8)
    for _ in range(300):
        code = np.repeat(generator.random(150) < 0.3, 8).astype(np.int64)
        scores = [code + generator.normal(size=150)[entity] + 0.5 * generator.normal(size=1200) for _ in range(2)]
        by_row.append((area_difference(*scores, code).p_value or 0.0) < 0.05)
        by_entity.append((area_difference(*scores, code, cluster=entity).p_value or 0.0) < 0.05)
    assert 0.02 < np.mean(by_entity) < 0.09
    assert np.mean(by_row) > 0.2


@pytest.mark.parametrize("code", [[0, 0, 0, 0], [1, 1, 1, 1]])
def test_one_class_alone_has_no_area(code: list[int]) -> None:
    found = area_under_curve(np.arange(4.0), np.array(code))
    assert (found.value, found.error, found.low, found.p_value) == (None, None, None, None)


def test_what_cannot_be_told() -> None:
    first, _, code = made(100, 5)
    same: Any = area_difference(first, 2 * first + 1, code)
    assert (same.value, same.p_value) == (0.0, 1.0)
    single = area_under_curve(np.array([1.0, 0.0, 2.0]), np.array([1, 0, 0]))
    assert (single.value, single.error) == (0.5, None), "one row of a class has no variance"
    assert area_under_curve(np.array([np.nan, 1.0]), np.array([0, 1])).value is None
    with pytest.raises(ValueError, match="99 scores"):
        area_difference(first, first[1:], code)
