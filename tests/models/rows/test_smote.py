"""SMOTE over rows as they come: categories, missing numbers, constants, and classes that are hardly there."""

from __future__ import annotations

import numpy as np
import pytest

from finflow.models.errors import FitFailure
from finflow.models.rows.smote import smote
from finflow.models.samples import Float32, Int64

NAMES = ("one", "two", "three", "four")


def table(count: int = 400, seed: int = 0) -> tuple[Float32, Int64, Int64]:
    """The rare class lies apart in both numbers, lacks the second of them in a third of its rows, and has a category of its own."""
    random = np.random.default_rng(seed)
    classes = (random.random(count) < 0.2).astype(np.int64)
    numbers = random.normal(size=(count, 4)).astype(np.float32) + 4 * classes[:, None].astype(np.float32)
    numbers[:, 1] *= 1e6
    numbers[(random.random(count) < 0.33) & (classes == 1), 1] = np.nan
    numbers[:, 2], numbers[:, 3] = 7.0, np.nan
    codes = np.where(classes == 1, random.choice([11, 2**62], count), 5)[:, None].astype(np.int64)
    return numbers, codes, classes


def test_new_rows_lie_between_rows_of_the_class() -> None:
    numbers, codes, classes = table()
    made, own = smote(numbers, codes, classes, 1, 300, names=NAMES, neighbours=5, seed=1)
    assert (made.shape, made.dtype, own.shape, own.dtype) == ((300, 4), np.float32, (300, 1), np.int64)
    rare = numbers[classes == 1]
    for column in (0, 1):
        assert np.nanmin(made[:, column]) >= np.nanmin(rare[:, column]) - 1e-3
        assert np.nanmax(made[:, column]) <= np.nanmax(rare[:, column]) + 1e-3
    assert set(own[:, 0]) == {11, 2**62}
    assert (made[:, 2] == 7).all()
    assert np.isnan(made[:, 3]).all()
    assert not np.isin(made[:, 0], rare[:, 0]).all(), "between rows, not on them"


def test_missing_numbers_stay_about_as_frequent() -> None:
    numbers, codes, classes = table(4000)
    made, _ = smote(numbers, codes, classes, 1, 2000, names=NAMES, neighbours=5, seed=1)
    share = np.isnan(numbers[classes == 1, 1]).mean()
    assert 0.5 * share < np.isnan(made[:, 1]).mean() < 1.5 * share


def test_two_points_of_one_dimension_as_worked_out() -> None:
    """Of two rows of the class every new one lies on the line between them, both numbers at the same fraction of the way."""
    numbers = np.array([[0.0, 0.0], [1.0, 10.0], [50.0, -3.0], [60.0, 4.0], [55.0, 1.0]], dtype=np.float32)
    made, own = smote(numbers, np.zeros((5, 0), dtype=np.int64), np.array([1, 1, 0, 0, 0]), 1, 40, names=NAMES[:2], neighbours=5, seed=2)
    np.testing.assert_allclose(made[:, 1], 10 * made[:, 0], atol=1e-4)
    assert ((made[:, 0] >= -1e-6) & (made[:, 0] <= 1 + 1e-6)).all()
    assert made[:, 0].std() > 0.1
    assert own.shape == (40, 0)


def test_a_seed_gives_the_same_rows() -> None:
    numbers, codes, classes = table()
    one, two, other = (smote(numbers, codes, classes, 1, 50, names=NAMES, neighbours=3, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other, equal_nan=True)


def test_what_there_is_nothing_between_is_refused() -> None:
    numbers, codes, classes = table()
    lone = np.zeros_like(classes)
    lone[0] = 1
    with pytest.raises(FitFailure, match="two rows of a class to draw between, and there are 1"):
        smote(numbers, codes, lone, 1, 5, names=NAMES, neighbours=5, seed=0)
    with pytest.raises(FitFailure, match="no feature is one that varies"):
        smote(numbers[:, 2:], codes, classes, 1, 5, names=NAMES[2:], neighbours=5, seed=0)
