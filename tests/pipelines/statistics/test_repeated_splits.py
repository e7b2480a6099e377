"""The corrected t-test by hand, and its size where nothing differs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from finflow.pipelines.statistics.repeated_splits import mean_over_splits


def test_by_hand() -> None:
    values = [0.01, 0.03, 0.02, 0.06]
    found = mean_over_splits(values, parts=5)
    error = np.std(values, ddof=1) * np.sqrt(1 / 4 + 1 / 4)
    assert (found.value, found.error, found.splits) == (pytest.approx(0.03), pytest.approx(error), 4)
    assert found.low == pytest.approx(0.03 - stats.t.ppf(0.975, 3) * error)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.03 / error, 3))
    # a plain paired t-test has the same statistic but for the factor
    assert stats.ttest_1samp(values, 0).statistic == pytest.approx(0.03 / error * np.sqrt(2))


def test_two_equal_rules_are_told_apart_no_more_often_than_said() -> None:
    """Two noisy rankings of the same worth, in 5 x 5 cross-validation: the plain test is wrong far more often."""
    random = np.random.default_rng(1)
    corrected, plain = [], []
    for _ in range(200):
        rows = random.normal(size=(100, 6))
        target = rows[:, 0] + rows[:, 1] + random.normal(size=100)
        gains = []
        for _ in range(5):
            for test in np.array_split(random.permutation(100), 5):
                train = np.setdiff1d(np.arange(100), test)
                errors = []
                for columns in ([0, 2, 3], [1, 4, 5]):
                    weights = np.linalg.lstsq(rows[np.ix_(train, columns)], target[train], rcond=None)[0]
                    errors.append(((target[test] - rows[np.ix_(test, columns)] @ weights) ** 2).mean())
                gains.append(errors[0] - errors[1])
        corrected.append((mean_over_splits(gains, 5).p_value or 0.0) < 0.05)
        plain.append(stats.ttest_1samp(gains, 0).pvalue < 0.05)
    assert np.mean(corrected) < 0.2
    assert np.mean(plain) > 0.35


def test_what_cannot_be_told() -> None:
    assert mean_over_splits([], 5).value is None
    assert mean_over_splits([0.5, np.nan], 5).low is None
    assert mean_over_splits([0.5, 0.5, 0.5], 5).p_value == 1.0
    with pytest.raises(ValueError, match="parts 1"):
        mean_over_splits([1.0], 1)
