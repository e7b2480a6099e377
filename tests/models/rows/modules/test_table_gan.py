"""The generator of rows: its encoding turns back, its parts are as the paper has them, and what it draws is like what it learnt from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finflow.models.errors import FitFailure
from finflow.models.reproducible import reproducible
from finflow.models.rows.modules.table_gan import PACK, TableCritic, TableGenerator
from finflow.models.rows.modules.table_gan_training import _Conditions, fit_row_source
from finflow.models.rows.table_encoding import FEW_VALUES, Modes, TableEncoding
from finflow.models.samples import Float32, Int64


def table(count: int = 1500, seed: int = 0) -> tuple[Float32, Int64, Int64]:
    """Two modes that the class tells apart, a count, a number that is missing now and then, a constant, an empty column; two categories."""
    random = np.random.default_rng(seed)
    classes = (random.random(count) < 0.1).astype(np.int64)
    amount = np.where(classes == 1, random.normal(50, 2, count), random.normal(-20, 5, count))
    often = np.minimum(random.poisson(2 + 3 * classes), 12)
    income = np.where(random.random(count) < 0.15, np.nan, random.lognormal(3, 1, count))
    numbers = np.column_stack([amount, often, income, np.full(count, 2.5), np.full(count, np.nan)]).astype(np.float32)
    purpose = np.where(classes == 1, random.choice([7, 0], count, p=[0.9, 0.1]), random.choice([7, 8, 0], count, p=[0.1, 0.8, 0.1]))
    return numbers, np.column_stack([purpose, random.choice([2**62, 3], count)]).astype(np.int64), classes


def test_encoding_turns_back() -> None:
    numbers, codes, classes = table()
    encoding = TableEncoding.fit(numbers, codes, seed=0)
    assert sorted(encoding.modes) == [0, 2]
    assert sorted(encoding.values) == [1, 3, 4]
    within, places = encoding.encode(numbers, codes, classes, seed=0)
    assert (np.abs(within) <= 1).all()
    assert (places < np.array(encoding.sizes)).all()
    back, again, own = encoding.decode(within, places)
    np.testing.assert_array_equal(again, codes)
    np.testing.assert_array_equal(own, classes)
    np.testing.assert_array_equal(back[:, [1, 3, 4]], numbers[:, [1, 3, 4]])
    np.testing.assert_array_equal(np.isnan(back), np.isnan(numbers))
    spread = np.nanstd(numbers[:, [0, 2]], axis=0)
    missed = np.nanmax(np.abs(back - numbers)[:, [0, 2]], axis=0)
    assert (missed < 0.6 * spread).all(), "only what lies beyond four deviations of its mode is cut"
    assert np.nanmedian(np.abs(back - numbers)[:, 2]) < 1e-4


def test_modes_are_found() -> None:
    random = np.random.default_rng(3)
    column = np.concatenate([random.normal(-20, 1, 4000), random.normal(50, 2, 1000)])
    found = Modes.fit(column, seed=0)
    weight = {side: found.weight[own].sum() for side, own in (("low", found.mean < 0), ("high", found.mean > 0))}
    assert abs(weight["low"] - 0.8) < 0.02
    assert abs(weight["high"] - 0.2) < 0.02
    _, mode = found.encode(column, random)
    assert ((found.mean[mode] > 0) == (column > 0)).all()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=FEW_VALUES + 2, max_size=60, unique=True), st.booleans())
def test_whatever_the_numbers_they_stay_in_range(values: list[float], missing: bool) -> None:
    column = np.array([*values, np.nan] if missing else values)
    found = Modes.fit(column, seed=0)
    random = np.random.default_rng(0)
    within, mode = found.encode(column, random)
    assert found.size == len(found.mean) + missing
    assert (np.isnan(column) == (mode == len(found.mean))).all()
    drawn = found.decode(random.uniform(-1, 1, 200).astype(np.float32), random.integers(0, len(found.mean), 200))
    assert drawn.min() >= min(values)
    assert drawn.max() <= max(values)
    assert np.isnan(found.decode(within, mode)).sum() == missing


def test_rare_values_of_a_long_column_are_found_though_no_sample_has_them() -> None:
    """Few of a hundred thousand rows are no nought: the rows that modes are found from may hold noughts alone."""
    column = np.zeros(100_000)
    column[:25] = np.arange(1, 26)
    for seed in range(3):
        found = Modes.fit(column, seed=seed)
        assert (found.low, found.high) == (0.0, 25.0)
        within, mode = found.encode(column, np.random.default_rng(0))
        assert np.isfinite(found.decode(within, mode)).all()


def test_twenty_values_are_few_and_one_more_is_not() -> None:
    for count, missing in ((20, False), (20, True), (21, False), (21, True)):
        column = np.tile(np.arange(count, dtype=np.float32), 3)
        column = np.append(column, np.nan).astype(np.float32) if missing else column
        made = TableEncoding.fit(column[:, None], np.zeros((len(column), 0), dtype=np.int64), seed=0)
        assert bool(made.values) is (count == 20)


def test_conditions_are_drawn_by_the_logarithm_of_how_frequent_they_are() -> None:
    places = np.column_stack([np.repeat([0, 1], [990, 10]), np.repeat([0, 1, 2], [500, 499, 1]), np.zeros(1000, dtype=int)])
    conditions = _Conditions(places, [2, 3, 1], 0)
    random = np.random.default_rng(0)
    columns, asked, condition = conditions.draw(40_000, random)
    assert abs((columns == 0).mean() - 0.5) < 0.01
    rare = np.log(11) / (np.log(11) + np.log(991))
    assert abs(asked[columns == 0].mean() - rare) < 0.01
    np.testing.assert_array_equal(condition.sum(1).numpy(), np.ones(40_000))
    np.testing.assert_array_equal(condition.numpy().argmax(1), asked + np.where(columns == 1, 2, 0))
    rows = conditions.rows(columns[:500], asked[:500], random)
    np.testing.assert_array_equal(places[rows, columns[:500]], asked[:500])


def test_choices_are_drawn_by_their_scores() -> None:
    generator = TableGenerator(0, (3,))
    random = torch.Generator().manual_seed(0)
    scores = torch.tensor([0.7, 0.2, 0.1]).log().expand(20_000, 3)
    drawn = generator.choices(scores, random)
    np.testing.assert_allclose(drawn.sum(1).numpy(), 1, rtol=1e-5)
    np.testing.assert_allclose(np.bincount(drawn.argmax(1).numpy()) / 20_000, [0.7, 0.2, 0.1], atol=0.01)


def test_the_slope_of_a_critic_that_is_a_line() -> None:
    """Of a critic that adds up what it sees, the slope of a pack is the root of how many numbers there are."""
    critic = TableCritic(4)
    critic.layers = torch.nn.Linear(4 * PACK, 1, bias=False)  # type: ignore[assignment]
    torch.nn.init.ones_(critic.layers.weight)  # type: ignore[arg-type]
    real, made = torch.randn(30, 4), torch.randn(30, 4)
    found = critic.slope(real, made, torch.Generator().manual_seed(0))
    assert found.item() == pytest.approx((np.sqrt(4 * PACK) - 1) ** 2, rel=1e-5)


def test_a_seed_gives_the_same_rows() -> None:
    drawn = []
    for seed in (0, 0, 1):
        with reproducible(seed, 1):
            drawn.append(fit_row_source(*table(100), 5, seed=seed).draw(1, 40, seed=seed))
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    np.testing.assert_array_equal(drawn[0][1], drawn[1][1])
    assert not np.array_equal(drawn[0][0], drawn[2][0], equal_nan=True)


@pytest.mark.slow
def test_it_draws_what_a_class_is_like() -> None:
    """A thousand steps, 333 epochs: as many as Xu et al. take."""
    numbers, codes, classes = table()
    with reproducible(0, 1):
        source = fit_row_source(numbers, codes, classes, 1000, seed=0)
    made, own = source.draw(1, 800, seed=5)
    assert (made.shape, made.dtype, own.shape, own.dtype) == ((800, 5), np.float32, (800, 2), np.int64)
    assert np.median(made[:, 0]) > 30, "amounts of the class lie about 50, those of the other about -20"
    assert (own[:, 0] == 7).mean() > 0.5 > (codes[classes == 0, 0] == 7).mean()
    assert set(np.unique(made[:, 1])) <= set(np.unique(numbers[:, 1])), "counts stay counts"
    assert (made[:, 3] == 2.5).all()
    assert np.isnan(made[:, 4]).all()
    assert np.isnan(made[:, 2]).any()
    assert not np.isnan(made[:, 2]).all()
    assert len(np.unique(made[:, 0])) > 400
    other = source.draw(0, 800, seed=5)[0]
    assert np.median(other[:, 0]) < 0 < made[:, 1].mean() - other[:, 1].mean(), "and the other class is like itself"


def test_what_it_cannot_learn_from_is_refused() -> None:
    numbers, codes, classes = table(19)
    with pytest.raises(FitFailure, match="needs 20 of them, and there are 19"):
        fit_row_source(numbers, codes, classes, 1, seed=0)
    wide = np.arange(6000, dtype=np.int64)[:, None]
    with pytest.raises(FitFailure, match=r"categories have 6,0\d\d values together"):
        fit_row_source(np.zeros((6000, 1), dtype=np.float32), wide, np.arange(6000) % 2, 1, seed=0)
    source = fit_row_source(*table(40), 1, seed=0)
    with torch.no_grad():
        source.generator.last.bias[-2:] = torch.tensor([50.0, -50.0])
    with pytest.raises(FitFailure, match="does not answer to the class: "):
        source.draw(1, 30, seed=0)
