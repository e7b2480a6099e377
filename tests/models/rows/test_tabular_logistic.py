"""The logistic regression of rows is scikit-learn's, and its contributions are worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from finflow.models.base import Hardware, Task
from finflow.models.errors import FitFailure
from finflow.models.reading import labelled_together
from finflow.models.rows.categories import category_code
from finflow.models.rows.row_numbers import RowNumbers
from finflow.models.samples import Samples
from tests.support.models.tabular_cases import fitted, rows, split, unfitted, with_codes

PLAIN = {"calibration": {"method": "none"}}


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    return rows()


def test_it_is_scikit_learns(data: tuple[Samples, Task]) -> None:
    samples, _ = data
    model = fitted("tabular_logistic", data, c=0.5, scaling="standard", fewest=1, **PLAIN)
    together = labelled_together(*split(samples)[:2])

    def inputs(view: Samples) -> np.ndarray:
        values = view.gather()[:, 0].astype(np.float64)
        values = np.column_stack([values[:, :2], np.isnan(values[:, 1])])
        known = np.where(np.isnan(values[:, 1]), median, values[:, 1])
        scaled = (np.column_stack([values[:, 0], known]) - mean) / deviation
        return np.column_stack([scaled, values[:, 2], encoder.transform(view.gather_categories()[:, 0])])

    own = together.gather()[:, 0].astype(np.float64)
    median = np.nanmedian(own[:, 1])
    mean, deviation = np.nanmean(own[:, :2], axis=0), np.nanstd(own[:, :2], axis=0)
    encoder = OneHotEncoder(sparse_output=False).fit(together.gather_categories()[:, 0])
    expected = LogisticRegression(C=0.5, max_iter=2000, tol=1e-8).fit(inputs(together), together.targets[:, 0])
    test = split(samples)[2].take(np.flatnonzero(np.isin(split(samples)[2].gather_categories()[:, 0, 0], encoder.categories_[0])))
    np.testing.assert_allclose(model.predict(test).values, expected.predict_proba(inputs(test)), atol=2e-4)


def test_contributions_by_hand(data: tuple[Samples, Task]) -> None:
    """The scaled amount's weight times how far the row is from the training mean; they are nothing on average in training."""
    model = fitted("tabular_logistic", data, c=1.0, **PLAIN)
    together = labelled_together(*split(data[0])[:2])
    found = model.contributions(together)
    assert found is not None
    np.testing.assert_allclose(found.values.mean(axis=0), 0.0, atol=1e-5)
    amount = together.gather()[:, 0, 0].astype(np.float64)
    slope = np.polyfit(amount, found.values[:, 0], 1)[0]
    np.testing.assert_allclose(found.values[:, 0], slope * (amount - amount.mean()), atol=1e-4)


def test_an_unknown_category_moves_nothing(data: tuple[Samples, Task]) -> None:
    model = fitted("tabular_logistic", data, fewest=1, **PLAIN)
    found = model.contributions(with_codes(data[0], category_code("never seen")))
    assert found is not None
    np.testing.assert_array_equal(found.values[:, 4:], 0.0)


def test_the_penalty_is_chosen_where_rows_say_nothing(data: tuple[Samples, Task]) -> None:
    samples, task = data
    train, validation, _ = split(samples)
    model = unfitted("tabular_logistic", task)
    assert model.fit(train, validation, seed=0, hardware=Hardware()).notes["c"] >= 0.01
    random = np.random.default_rng(0)
    for part in (train, validation):
        random.shuffle(part.index.target)
    assert model.fit(train, validation, seed=0, hardware=Hardware()).notes["c"] <= 0.01


def test_numbers_by_hand() -> None:
    values = np.array(
        [[1, 5, np.nan, 0], [2, 5, np.nan, 0], [3, np.nan, np.nan, 0], [4, 5, np.nan, 0], [100, 5, np.nan, 9]], dtype=np.float32
    )
    robust = RowNumbers.of(values, ("a", "b", "c", "d"), "robust", 10.0)
    np.testing.assert_array_equal(robust.median, [3, 5, 0, 0])
    np.testing.assert_array_equal(robust.marked, [1])
    np.testing.assert_allclose(robust.scaled(values)[:, 0], np.minimum((np.array([1, 2, 3, 4, 100]) - 3) * 1.349 / 2, 10))
    np.testing.assert_array_equal(robust.scaled(values)[:, 1:3], 0.0)
    assert robust.inverse[3] == pytest.approx(1 / values[:, 3].std()), "half of the values are one: the deviation stands in"
    np.testing.assert_array_equal(robust.marks(values)[:, 0], [0, 0, 1, 0, 0])
    again = RowNumbers.from_arrays(robust.arrays())
    np.testing.assert_array_equal(again.scaled(values), robust.scaled(values))


@given(st.lists(st.one_of(st.floats(width=32), st.just(float("nan"))), min_size=1, max_size=30), st.sampled_from(["standard", "robust"]))
def test_scaled_numbers_are_finite_and_cut(asked: list[float], scale: str) -> None:
    train = np.array([[-2.0], [0.5], [np.nan], [7.0]], dtype=np.float32)
    found = RowNumbers.of(train, ("a",), scale, 10.0).scaled(np.array(asked, dtype=np.float32)[:, None])  # type: ignore[arg-type]
    assert np.isfinite(found).all()
    assert (np.abs(found) <= 10).all()


def test_what_does_not_converge_is_told(data: tuple[Samples, Task]) -> None:
    train, validation, _ = split(data[0])
    with pytest.raises(FitFailure, match="raise `iterations`"):
        unfitted("tabular_logistic", data[1], iterations=1, c=1.0).fit(train, validation, seed=0, hardware=Hardware())
