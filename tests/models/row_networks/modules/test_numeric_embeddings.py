"""Numbers read by the bins that they have passed: edges, the encoding itself, and networks over it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from finflow.models.row_networks.modules.numeric_embeddings import PiecewiseEncoding
from finflow.models.row_networks.row_encoding import RowEncoding, piecewise_edges
from finflow.models.saving import load_model, save_model
from tests.support.models.row_network_cases import area, fitted, rows, samples_of, split

COLUMNS = st.lists(st.floats(-10, 10, width=32) | st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=60)


def encoded(edges: NDArray, numbers: NDArray, signed: tuple[int, ...] = (), signs: NDArray | None = None) -> NDArray:
    given = np.zeros((len(numbers), len(signed))) if signs is None else signs
    module = PiecewiseEncoding(np.float32(edges), signed)
    return module(torch.from_numpy(np.float32(numbers)), torch.from_numpy(np.float32(given))).numpy()


def by_hand(edges: NDArray, number: float) -> list[float]:
    """Equation 1 of Gorishniy, Rubachev and Babenko (2022), with the outermost bins bounded."""
    found = []
    for low, high in pairwise(edges):
        if number < low:
            found.append(0.0)
        elif number >= high:
            found.append(1.0)
        else:
            found.append((number - low) / (high - low))
    return found


def test_a_worked_example() -> None:
    edges = np.array([[0, 1, 3, 7], [-2, 2, 2, 2]])
    found = encoded(edges, np.array([[-5, -2], [0.25, 0], [1, 1], [4, 2], [100, 9]]))
    wanted = [[0, 0, 0, 0], [0.25, 0, 0, 0.5], [1, 0, 0, 0.75], [1, 1, 0.25, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(found, np.float32(wanted))


def test_a_missing_number_has_passed_no_bin() -> None:
    edges = np.array([[-1, 0, 1], [-1, 0, 1]])
    found = encoded(edges, np.array([[0.5, 0.5], [0.5, 0.5]]), (1,), np.array([[0], [1]]))
    np.testing.assert_array_equal(found, np.float32([[1, 0.5, 1, 0.5], [1, 0.5, 0, 0]]))


def test_the_gradient_by_a_number_is_one_over_the_bin_it_is_in() -> None:
    module = PiecewiseEncoding(np.float32([[0, 1, 5]]), ())
    numbers = torch.tensor([[0.5], [2.0], [9.0]], requires_grad=True)
    module(numbers, torch.zeros(3, 0)).sum().backward()
    assert numbers.grad is not None
    np.testing.assert_allclose(numbers.grad[:, 0], [1, 0.25, 0])


def test_edges_are_quantiles_or_the_few_values_there_are() -> None:
    random = np.random.default_rng(1)
    values = random.lognormal(size=(500, 5)).astype(np.float32)
    values[:, 1] = random.choice([3, 7, 8, 8.5], 500)
    values[:, 2], values[:, 4] = 6.5, np.nan
    values[:, 3] = np.where(random.random(500) < 0.9, 0, values[:, 3])
    values[::7, 0] = np.nan
    edges = piecewise_edges(values, 10)
    there = np.sort(values[~np.isnan(values[:, 0]), 0].astype(float))
    own = [np.interp(share * (len(there) - 1), np.arange(len(there)), there) for share in np.arange(11) / 10]
    np.testing.assert_allclose(edges[0], own, rtol=1e-6)
    np.testing.assert_array_equal(edges[1], [3, 7, 8, *[8.5] * 8])
    np.testing.assert_array_equal(edges[[2, 4]], [[0, *[1] * 10]] * 2)
    assert edges[3, 0] == 0
    assert len(np.unique(edges[3])) == 3, "nine tenths of it are one value, which is one edge"


@settings(max_examples=100, deadline=None)
@given(COLUMNS, st.integers(2, 20), st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=20))
def test_pieces_rise_in_order_and_stay_between_nought_and_one(column: list[float], bins: int, asked: list[float]) -> None:
    edges = piecewise_edges(np.float32(column)[:, None], bins)
    own = np.unique(edges[0])
    assert 2 <= len(own) <= bins + 1
    numbers = np.sort(np.float32(asked))
    found = encoded(edges, numbers[:, None])
    assert found.shape == (len(numbers), len(own) - 1)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (np.diff(found, axis=0) >= 0).all(), "a larger number has passed no less of any bin"
    assert ((found[:, 1:] == 0) | (found[:, :-1] > 1 - 1e-6)).all(), "a bin is entered when the one before it is passed"
    np.testing.assert_allclose(found, [by_hand(own.astype(float), float(number)) for number in numbers], atol=1e-5)
    np.testing.assert_allclose(found.sum(1), np.interp(numbers, own, np.arange(len(own))), atol=1e-4)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12))
def test_edges_closer_than_floats_can_tell_are_one(steps: list[int]) -> None:
    column = np.float32([step * 1e-40 for step in steps] + [1.0])
    found = encoded(piecewise_edges(column[:, None], 30), column[:, None])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["tabular_dense", "sequence_lstm", "autoencoder"])
def test_networks_over_bins_answer_alike_when_loaded_and_add_up(name: str, tmp_path: Path) -> None:
    samples, task = rows(900, entities=60)
    model = fitted(name, samples, task, numeric="piecewise", bins=9)
    values = model.predict(samples).values
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(samples).values, values)
    some = np.random.default_rng(2).permutation(len(samples))[:41]
    np.testing.assert_array_equal(loaded.predict(samples.take(some)).values, values[some])
    if name != "autoencoder":
        found = model.contributions(samples)
        assert found is not None
        assert np.abs(found.error).max() < 0.011


def test_parts_add_up_however_narrow_the_bins() -> None:
    """A thousandth of the way to the row leads through most of the bins there: points on the number's own way would miss them."""
    random = np.random.default_rng(3)
    values = random.normal(size=(1500, 4)).astype(np.float32)
    values[:, 0] = np.where(random.random(1500) < 0.5, 3 * values[:, 0], 1 + 1e-4 * values[:, 0])
    target = (random.random(1500) < 1 / (1 + np.exp(-4 * ((values[:, 0] > 1) & (values[:, 0] < 1.01))))).astype(np.float32)
    samples, task = samples_of(values, np.zeros((1500, 0), dtype=np.int64), target, 1500)
    model = fitted("tabular_dense", samples, task, numeric="piecewise", bins=40, epochs=30)
    test = split(samples)[2]
    assert area(model.predict(test).values[:, 1], test.targets[:, 0]) > 0.6
    found = model.contributions(test)
    assert np.abs(found.error).max() < 0.011
    spread = np.abs(found.values).mean(axis=0)
    assert spread[0] > 2 * spread[1:].max()


def test_only_those_who_ask_for_bins_have_edges() -> None:
    samples, task = rows(400)
    for numeric in ("periodic", "plain", "piecewise"):
        model = fitted("tabular_dense", samples, task, numeric=numeric, epochs=1)
        assert model.encoding is not None
        assert ("edges" in model.encoding.arrays()) == (numeric == "piecewise")
    arrays = model.encoding.arrays()
    with pytest.raises(ValueError, match=r"edges of the shape \[3, 49\]; the settings ask for 5 bins of 3 features"):
        RowEncoding.from_arrays("robust", arrays, 3, 2, bins=5)
    with pytest.raises(ValueError, match="ask for 0 bins"):
        RowEncoding.from_arrays("robust", arrays, 3, 2)
