"""Against arch's bootstrap, by its definition, and by the coverage of its intervals."""

from __future__ import annotations

import numpy as np
import pytest

from finflow.pipelines.statistics import default_block
from finflow.pipelines.statistics.bootstrap import Resampling, bootstrap_means, stationary_bootstrap
from finflow.pipelines.statistics.metric_parts import Cells, MetricParts


def mean_of(*components: np.ndarray) -> MetricParts:
    return MetricParts("mean", components, lambda first, *_: first, "lower")


def draws(n: int, block: int, replications: int, seed: int) -> np.ndarray:
    return np.concatenate(list(stationary_bootstrap(n, block, replications, seed)))


def interval(parts: MetricParts, dates: np.ndarray, *, level: float, **settings: int) -> tuple[float | None, float | None, float | None]:
    return Resampling(dates, **settings).interval(parts, level)


def days(count: int) -> np.ndarray:
    return np.datetime64("2020-01-01", "ns") + np.arange(count) * np.timedelta64(1, "D")


def test_blocks_are_geometric_and_wrap_around() -> None:
    drawn = draws(200, 8, 2000, 1)
    assert drawn.shape == (2000, 200)
    assert drawn.dtype == np.int64
    assert drawn.min() == 0
    assert drawn.max() == 199
    follows = drawn[:, 1:] == (drawn[:, :-1] + 1) % 200
    # a new block starts with chance 1/8, and with chance 1/200 where the old one would have gone on
    assert (~follows).mean() == pytest.approx((1 / 8) * (199 / 200), rel=0.02)
    assert ((drawn[:, :-1] == 199) & (drawn[:, 1:] == 0)).mean() == pytest.approx((1 / 200) * (7 / 8 + 1 / 8 / 200), rel=0.1)
    counts = np.bincount(drawn.ravel(), minlength=200)
    assert counts.std() / counts.mean() < 0.1
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.1


def test_block_one_draws_dates_alone() -> None:
    drawn = draws(50, 1, 2000, 2)
    assert (drawn[:, 1:] == (drawn[:, :-1] + 1) % 50).mean() == pytest.approx(1 / 50, rel=0.1)


def test_draws_depend_on_the_seed_and_not_on_how_many_are_wanted() -> None:
    first = draws(40, 5, 10, 3)
    np.testing.assert_array_equal(draws(40, 5, 600, 3)[:10], first)
    assert (draws(40, 5, 10, 4) != first).any()


@pytest.mark.parametrize("wrong", [(0, 5, 10), (10, 0, 10), (10, 5, 0)])
def test_sizes_below_one_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        draws(*wrong, 1)


def test_bootstrap_means_are_means_over_the_draws() -> None:
    series = np.random.default_rng(0).standard_normal((60, 2))
    drawn = draws(60, 4, 700, 5)
    np.testing.assert_allclose(bootstrap_means(series, 4, 700, 5), series[drawn].mean(axis=1), atol=1e-14)


def test_the_spread_of_means_is_that_of_arch() -> None:
    from arch.bootstrap import StationaryBootstrap

    series = np.convolve(np.random.default_rng(1).standard_normal(404), np.ones(5), "valid")
    reference = StationaryBootstrap(20, series, seed=1).apply(lambda values: values.mean(), 3000)
    own = bootstrap_means(series[:, None], 20, 3000, 1)
    assert own.std() == pytest.approx(reference.std(), rel=0.06)
    assert own.mean() == pytest.approx(reference.mean(), abs=0.03)


def test_the_interval_is_the_quantiles_of_resampled_means() -> None:
    values = np.random.default_rng(2).gamma(2, size=100)
    drawn = draws(100, 6, 500, 9)
    low, high = np.quantile(values[drawn].mean(axis=1), [0.05, 0.95])
    found = interval(mean_of(values), days(100), level=0.9, block=6, replications=500, seed=9)
    np.testing.assert_allclose(found, (values.mean(), low, high))


def test_a_date_counts_once_and_order_does_not_matter() -> None:
    # two samples on the first date, one on the second: (1 + 3)/2 = 2 and 8, so 5; pooled it would be 4
    dates = days(2)[[0, 0, 1]]
    assert interval(mean_of(np.array([1.0, 3.0, 8.0])), dates, level=0.9, block=1, replications=50, seed=0)[0] == 5.0
    random = np.random.default_rng(3)
    values, dates, order = random.gamma(2, size=300), np.repeat(days(100), 3), random.permutation(300)
    settings = {"level": 0.95, "block": 5, "replications": 200, "seed": 1}
    np.testing.assert_allclose(
        interval(mean_of(values[order]), dates[order], **settings),  # type: ignore[arg-type]
        interval(mean_of(values), dates, **settings),  # type: ignore[arg-type]
    )


def test_missing_values_count_nothing() -> None:
    values = np.array([1.0, np.nan, np.nan, 3.0])
    value, low, high = interval(mean_of(values), np.repeat(days(2), 2), level=0.9, block=1, replications=200, seed=0)
    assert value == 2.0
    assert (low, high) == (1.0, 3.0)
    # a replicate may draw the dates without a value alone: then no interval can be had
    value, low, high = interval(mean_of(np.array([1.0, 2.0, np.nan])), days(3), level=0.9, block=1, replications=2000, seed=0)
    assert (value, low, high) == (1.5, None, None)


def test_a_function_of_several_means() -> None:
    random = np.random.default_rng(4)
    error, scale = random.gamma(2, size=(2, 200))
    parts = MetricParts("ratio", (error**2, scale), lambda square, size: np.sqrt(square) / size, "lower")
    value, low, high = interval(parts, days(200), level=0.95, block=3, replications=400, seed=7)
    drawn = draws(200, 3, 400, 7)
    replicates = np.sqrt((error**2)[drawn].mean(axis=1)) / scale[drawn].mean(axis=1)
    assert value == pytest.approx(np.sqrt((error**2).mean()) / scale.mean())
    np.testing.assert_allclose((low, high), np.quantile(replicates, [0.025, 0.975]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_number_where_there_is_none(value: float) -> None:
    values = np.full(10, value)
    assert interval(mean_of(values), days(10), level=0.9, block=2, replications=20, seed=0) == (None, None, None)
    assert interval(mean_of(values[:0]), days(0), level=0.9, block=2, replications=20, seed=0) == (None, None, None)


def test_one_date_has_a_value_and_no_interval() -> None:
    found = interval(mean_of(np.array([1.0, 2.0])), days(1)[[0, 0]], level=0.9, block=2, replications=20, seed=0)
    assert found == (1.5, None, None)


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        interval(mean_of(np.ones(3)), days(3), level=95, block=1, replications=10, seed=0)
    with pytest.raises(ValueError, match="'mean'"):
        interval(mean_of(np.ones(3)), days(4), level=0.9, block=1, replications=10, seed=0)


def test_the_default_block() -> None:
    assert [default_block(1250, 1), default_block(1250, 5), default_block(1000, 60), default_block(250, 5)] == [19, 19, 180, 15]
    assert [default_block(20, 60), default_block(1, 1), default_block(0, 1)] == [5, 1, 1]


def test_intervals_of_dependent_losses_cover_and_those_that_ignore_it_do_not() -> None:
    dates = days(500)
    covered = {1: 0, default_block(500, 5): 0}
    for trial in range(150):
        values = np.convolve(np.random.default_rng(trial).standard_normal(504), np.ones(5), "valid")
        for block in covered:
            _, low, high = interval(mean_of(values), dates, level=0.9, block=block, replications=250, seed=1)
            assert low is not None
            assert high is not None
            covered[block] += low <= 0 <= high
    # the standard error of a share of 90 % over 150 trials is 2.4 %
    assert covered[1] / 150 < 0.65
    assert covered[default_block(500, 5)] / 150 > 0.8


def test_a_pooled_metric_counts_every_sample_once() -> None:
    """Dates of one and of three samples: means over samples, in the value and under every draw; NaN counts nothing."""
    values, dates = np.array([1.0, 2.0, np.nan, 6.0, 8.0]), days(3)[[0, 1, 1, 1, 2]]
    parts = MetricParts("mean", (values,), lambda mean: mean, "lower", pooled=True)
    resampling = Resampling(dates, block=1, replications=300, seed=5)
    value, replicates = resampling.take(parts)
    assert value == pytest.approx((1 + 2 + 6 + 8) / 4)
    assert resampling.take(mean_of(values))[0] == pytest.approx((1 + 4 + 8) / 3)
    drawn = draws(3, 1, 300, 5)
    sums, sizes = np.array([1.0, 8.0, 8.0]), np.array([1.0, 2.0, 1.0])
    np.testing.assert_allclose(replicates, sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))


def test_cells_are_the_parts_of_a_distribution_under_every_draw() -> None:
    code, dates = np.array([0, 2, 2, 1, 0]), days(3)[[0, 0, 1, 2, 2]]
    taken: list[np.ndarray] = []
    parts = MetricParts("first", (Cells(code, 3),), lambda part: taken.append(part) or part[..., 0], "lower", pooled=True, exact=0.5)
    value, replicates = Resampling(dates, block=1, replications=40, seed=2).take(parts)
    assert value == 0.5, "told exactly; on the grid it is 0.4"
    assert taken[0].tolist() == [[0.4, 0.2, 0.4]]
    for drawn, found, moved in zip(draws(3, 1, 40, 2), taken[1], replicates, strict=True):  # type: ignore[arg-type]
        rows = np.concatenate([np.flatnonzero(dates == days(3)[one]) for one in drawn])
        np.testing.assert_allclose(found, np.bincount(code[rows], minlength=3) / len(rows))
        assert moved == pytest.approx(found[0] + 0.1)
