"""The forecast problem: targets, losses, metrics and prediction rows, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from finflow.models.base import Prediction
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.problems.quantile_scores import crps, directional_accuracy, information_coefficients, pinball, quantile_column
from finflow.pipelines.statistics.metric_parts import MetricParts
from tests.support.pipelines.bars import bars, definition
from tests.support.pipelines.problems.indices import index_of

NAT = np.datetime64("NaT", "ns")


def forecast(horizon: int = 2, **settings: object) -> Problem:
    return problem_of(definition(window={"length": 1, "horizon": horizon}, problem={"kind": "forecast", **settings}))


def quantiles(median: np.ndarray, spread: float = 1.0, levels: tuple[float, ...] = (0.05, 0.5, 0.95)) -> Prediction:
    values = median[:, :, None] + spread * np.array([-1.0, 0.0, 1.0])
    return Prediction("quantiles", values.astype(np.float32), levels)


def value(parts: list[MetricParts], name: str) -> float:
    found = next(part for part in parts if part.name == name)
    return float(found.combine(*(np.nanmean(component) for component in found.components)))


def test_targets_are_cumulative_changes_in_the_entitys_own_steps() -> None:
    clean = pd.DataFrame(
        {
            "entity": ["A"] * 4 + ["B"] * 2,
            "time": pd.to_datetime(["2017-12-26", "2017-12-27", "2017-12-28", "2017-12-29", "2017-12-27", "2017-12-29"]),
            "close": [10.0, 11.0, 12.0, 15.0, 5.0, 6.0],
        }
    )
    targets = forecast().targets(clean, "XNYS")
    nan, log = np.nan, np.log
    expected = [[log(1.1), log(1.2)], [log(12 / 11), log(15 / 11)], [log(15 / 12), nan], [nan, nan], [log(1.2), nan], [nan, nan]]
    np.testing.assert_allclose(targets.values, expected, rtol=1e-6)
    np.testing.assert_array_equal(targets.origin, clean["close"])
    np.testing.assert_array_equal(targets.label_start, np.array(["2017-12-27", "2017-12-28"] + ["NaT"] * 4, dtype="datetime64[ns]"))
    np.testing.assert_array_equal(targets.label_end, np.array(["2017-12-28", "2017-12-29"] + ["NaT"] * 4, dtype="datetime64[ns]"))
    # New Year's Day is no session; B's own next observation after the 27th is the 29th
    dates = [
        ["2017-12-27", "2017-12-28"],
        ["2017-12-28", "2017-12-29"],
        ["2017-12-29", "2018-01-02"],
        ["2018-01-02", "2018-01-03"],
        ["2017-12-29", "2018-01-02"],
        ["2018-01-02", "2018-01-03"],
    ]
    np.testing.assert_array_equal(targets.target_time, np.array(dates, dtype="datetime64[ns]"))


def test_a_horizon_longer_than_the_history_is_all_in_the_future() -> None:
    targets = forecast(horizon=5).targets(bars(2, entities=("A",), start="2020-01-06"), None)
    assert np.isnan(targets.values[:, 1:]).all()
    assert np.isfinite(targets.values[0, 0])
    assert (
        targets.target_time[1] == np.array(["2020-01-08", "2020-01-09", "2020-01-10", "2020-01-13", "2020-01-14"], "datetime64[ns]")
    ).all()
    assert np.isnat(targets.label_end).all()


def test_observed_columns_restart_at_each_entity() -> None:
    clean = pd.DataFrame(
        {"entity": ["A", "A", "B", "B"], "time": pd.to_datetime(["2020-01-06", "2020-01-07"] * 2), "close": [1.0, 2.0, 0.0, 4.0]}
    )
    observed = forecast().observe(clean)
    np.testing.assert_allclose(observed["__increment"], [np.nan, np.log(2), np.nan, np.nan])
    np.testing.assert_allclose(observed["__level"], [0.0, np.log(2), np.nan, np.log(4)])
    plain = forecast(transform="none").observe(clean)
    np.testing.assert_allclose(plain["__increment"], [np.nan, 1.0, np.nan, 4.0])


def test_losses_by_hand() -> None:
    target = np.array([[1.0, 3.0], [0.0, 0.0]])
    losses = forecast().losses(quantiles(np.array([[0.0, 1.0], [0.0, 0.0]])), index_of(target))
    np.testing.assert_allclose(losses["mae"], [1.5, 0.0])
    np.testing.assert_allclose(losses["mse"], [2.5, 0.0])
    # errors from (-1, 0, 1) are (2, 1, 0) and from (0, 1, 2) are (3, 2, 1)
    first = (0.05 * 2 + 0.5 * 1 + 0.0) + (0.05 * 3 + 0.5 * 2 + 0.95 * 1)
    second = 2 * (0.05 * 1 + 0.0 + 0.05 * 1)
    np.testing.assert_allclose(losses["crps"], [2 * first / 6, 2 * second / 6], rtol=1e-6)


def test_the_crps_of_a_normal_forecast_is_near_its_closed_form() -> None:
    levels = tuple((np.arange(199) + 0.5) / 199)
    answer = np.tile(stats.norm.ppf(levels), (3, 1, 1)).transpose(0, 1, 2)
    target = np.array([[0.0], [1.0], [-2.0]])
    exact = target * (2 * stats.norm.cdf(target) - 1) + 2 * stats.norm.pdf(target) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps(answer, target, levels), exact[:, 0], atol=0.01)


def test_the_pinball_loss_is_least_at_the_quantile() -> None:
    sample = np.random.default_rng(0).normal(size=(5000, 1))
    tried = np.linspace(-2, 2, 81)
    means = [pinball(np.full((5000, 1, 1), guess), sample, (0.9,)).mean() for guess in tried]
    assert tried[int(np.argmin(means))] == pytest.approx(np.quantile(sample, 0.9), abs=0.06)


def test_a_nan_forecast_gives_a_nan_loss_and_never_a_good_one() -> None:
    answer = quantiles(np.array([[0.0, np.nan]]))
    losses = forecast().losses(answer, index_of(np.zeros((1, 2))))
    assert all(np.isnan(loss).all() for loss in losses.values())
    parts = forecast().metrics(answer, index_of(np.zeros((1, 2))), np.ones(1))
    assert all(np.isnan(component).all() for part in parts for component in part.components)


def test_metrics_by_hand() -> None:
    target = np.array([[0.1, 0.2], [-0.1, 0.0]])
    median = np.array([[0.0, 0.1], [-0.2, -0.1]])
    parts = forecast().metrics(quantiles(median, spread=0.15), index_of(target), np.array([0.5, 0.25]))
    assert value(parts, "mae") == pytest.approx(0.1)
    assert value(parts, "rmse") == pytest.approx(0.1)
    assert value(parts, "mase") == pytest.approx((0.2 + 0.4) / 2)
    assert value(parts, "coverage_90") == 1.0
    price = 100 * np.abs(np.exp(target) - np.exp(median))
    assert value(parts, "price_mae") == pytest.approx(price.mean(), rel=1e-5)
    assert value(parts, "price_rmse") == pytest.approx(np.sqrt((price**2).mean()), rel=1e-5)
    # signs: zero forecast (half), right, right, zero outcome (half)
    assert value(parts, "directional_accuracy") == pytest.approx(0.75)
    directions = {part.name: (part.better, part.target) for part in parts}
    assert directions["coverage_90"] == ("target", 0.9)
    assert directions["directional_accuracy"] == ("higher", None)
    assert {
        directions[name][0] for name in ("mae", "mse", "rmse", "mase", "crps", "price_mae", "price_mse", "price_rmse", "price_crps")
    } == {"lower"}


def test_without_a_logarithm_errors_are_in_the_price_already() -> None:
    problem = forecast(transform="none")
    names = [part.name for part in problem.metrics(quantiles(np.zeros((2, 2))), index_of(np.zeros((2, 2))), np.ones(2))]
    assert not [name for name in names if name.startswith("price_")]
    rows = problem.rows(quantiles(np.zeros((1, 2)), spread=3.0), index_of(np.zeros((1, 2))), ("A",))
    assert rows["q05"].tolist() == [97.0, 97.0]


def test_coverage_pairs_levels_that_mirror_each_other() -> None:
    problem = forecast(levels=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99))
    answer = Prediction("quantiles", np.tile(np.arange(8.0), (2, 2, 1)).astype(np.float32), problem.settings.levels)
    parts = problem.metrics(answer, index_of(np.array([[0.5, 2.0], [4.5, 9.0]])), np.ones(2))
    covered = {part.name: value(parts, part.name) for part in parts if part.name.startswith("coverage")}
    assert covered == {"coverage_90": 0.75, "coverage_80": 0.5, "coverage_50": 0.25}


def test_directions_of_a_zero_forecast_are_a_coin() -> None:
    np.testing.assert_array_equal(directional_accuracy(np.zeros((3, 2)), np.ones((3, 2))), [0.5, 0.5, 0.5])


def test_information_coefficients_are_correlations_across_each_date() -> None:
    random = np.random.default_rng(1)
    dates = np.repeat(np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="datetime64[ns]"), [6, 5, 2])
    forecasts, outcomes = random.normal(size=13).round(1), random.normal(size=13).round(1)
    pearson, spearman = information_coefficients(forecasts, outcomes, dates)
    for date in np.unique(dates)[:2]:
        on = dates == date
        np.testing.assert_allclose(pearson[on], stats.pearsonr(forecasts[on], outcomes[on])[0], rtol=1e-9)
        np.testing.assert_allclose(spearman[on], stats.spearmanr(forecasts[on], outcomes[on])[0], rtol=1e-9)
    assert np.isnan(pearson[-2:]).all(), "two entities are no panel"


def test_a_constant_forecast_orders_nothing() -> None:
    dates = np.repeat(np.array(["2020-01-01"], dtype="datetime64[ns]"), 4)
    pearson, spearman = information_coefficients(np.full(4, 0.1), np.arange(4.0), dates)
    np.testing.assert_array_equal(pearson, 0.0)
    np.testing.assert_array_equal(spearman, 0.0)


def test_the_information_coefficient_is_there_for_panels_of_more_than_two() -> None:
    target = np.arange(6.0).reshape(6, 1) * 0.01
    times = ["2020-01-01"] * 3 + ["2020-01-02"] * 3
    panel = index_of(target, entity=[0, 1, 2] * 2, times=times)
    parts = forecast(horizon=1).metrics(quantiles(target), panel, np.ones(6))
    assert value(parts, "ic") == pytest.approx(1.0)
    assert value(parts, "rank_ic") == pytest.approx(1.0)
    two = index_of(target, entity=[0, 1] * 3, times=times)
    assert "ic" not in [part.name for part in forecast(horizon=1).metrics(quantiles(target), two, np.ones(6))]


def test_rows_are_prices_at_their_dates() -> None:
    problem = forecast()
    answer = quantiles(np.array([[0.0, 0.1]]), spread=0.05)
    rows = problem.rows(answer, index_of(np.zeros((1, 2)), origin=200.0), ("SP500",))
    assert list(rows.columns) == ["entity", "time", "target_time", "horizon", "q05", "q50", "q95"]
    assert rows["entity"].tolist() == ["SP500", "SP500"]
    assert rows["horizon"].tolist() == [1, 2]
    assert rows["target_time"].tolist() == [pd.Timestamp("2020-01-02"), pd.Timestamp("2020-01-03")]
    np.testing.assert_allclose(rows["q50"], [200.0, 200 * np.exp(0.1)], rtol=1e-6)
    np.testing.assert_allclose(rows["q05"], 200 * np.exp([-0.05, 0.05]), rtol=1e-6)
    assert rows["q05"].dtype == np.float64
    assert rows["time"].dtype == "datetime64[us]"


def test_the_scale_of_an_entity_is_its_mean_one_step_change() -> None:
    target = np.array([[0.1, 9.0], [-0.3, 9.0], [0.0, 9.0], [np.nan, 9.0]])
    scales = forecast().scale_of(index_of(target, entity=[0, 0, 1, 1]))
    assert scales[0] == pytest.approx(0.2)
    assert scales[1] == pytest.approx(0.4 / 3), "one that never moved has the panel's"
    assert scales[7] == pytest.approx(0.4 / 3), "so has one that was not there"


@pytest.mark.parametrize(("level", "name"), [(0.05, "q05"), (0.5, "q50"), (0.025, "q02_5"), (0.975, "q97_5"), (0.999, "q99_9")])
def test_names_of_quantiles(level: float, name: str) -> None:
    assert quantile_column(level) == name


@pytest.mark.parametrize("levels", [[], [0.1, 0.9], [0.5, 0.1], [0.0, 0.5], [0.5, 1.0], [0.5, 0.5]])
def test_levels_that_make_no_sense_are_refused(levels: list[float]) -> None:
    with pytest.raises(DefinitionError, match="levels"):
        forecast(levels=levels)


def test_other_answers_than_quantiles_are_refused() -> None:
    with pytest.raises(ValueError, match="expected quantiles"):
        forecast().losses(Prediction("scores", np.zeros((1, 2), dtype=np.float32)), index_of(np.zeros((1, 2))))
