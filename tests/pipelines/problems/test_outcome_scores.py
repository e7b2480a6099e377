"""Metrics of outcomes against scikit-learn, statsmodels, examples by hand, and brute force."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from finflow.models.samples import SampleIndex
from finflow.pipelines.problems.calibration_scores import calibration_error, chance_error, equal_count_bins
from finflow.pipelines.problems.outcome_scores import cost_loss, cost_threshold, outcome_losses, outcome_metrics
from finflow.pipelines.problems.rank_scores import CELLS, ranking_metrics, taken_at_top, top_metrics
from finflow.pipelines.statistics.bootstrap import Resampling, stationary_bootstrap
from finflow.pipelines.statistics.metric_parts import MetricParts

COSTS = SimpleNamespace(false_positive=1.0, false_negative=5.0)
NO_STAKE = np.full(4, np.nan)


def settings(top: tuple[int, ...] = ()) -> Any:
    return SimpleNamespace(costs=COSTS, top_a_day=top)


def made(count: int, seed: int, *, days: int = 50, digits: int = 6, shift: float = -1.0) -> tuple[Any, Any, SampleIndex]:
    """Probabilities that are too far apart, rounded so that some are equal, on days of uneven size."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=count) + shift
    code = (generator.random(count) < 1 / (1 + np.exp(-truth))).astype(np.int64)
    probability = np.round(1 / (1 + np.exp(-1.5 * truth)), digits).clip(1e-4, 1 - 1e-4)
    day = np.sort((days * generator.random(count) ** 2).astype(np.int64))
    return probability, code, index_of(code, np.datetime64("2024-01-01") + day)


def index_of(code: NDArray[np.int64], day: Any, entity: Any = None, stake: Any = None) -> SampleIndex:
    count, times = len(code), np.asarray(day).astype("datetime64[ns]")
    return SampleIndex(
        row=np.arange(count),
        time=times,
        label_start=times,
        label_end=times,
        entity=np.arange(count) if entity is None else np.asarray(entity),
        target=code[:, None].astype(np.float32),
        target_time=times[:, None],
        origin=np.full(count, np.nan) if stake is None else np.asarray(stake, dtype=np.float64),
    )


def resampling(index: SampleIndex, replications: int = 200) -> Resampling:
    return Resampling(index.time, block=3, replications=replications, seed=7)


def values_of(parts: list[MetricParts], index: SampleIndex) -> dict[str, float | None]:
    draws = resampling(index)
    return {one.name: draws.take(one)[0] for one in parts}


@pytest.mark.parametrize("digits", [6, 2])
def test_metrics_are_those_of_scikit_learn(digits: int) -> None:
    from scipy.stats import ks_2samp
    from sklearn import metrics

    probability, code, index = made(5000, 1, digits=digits)
    found = values_of(outcome_metrics(probability, code, index, settings()), index)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(code, probability), abs=1e-12)
    assert found["gini"] == pytest.approx(2 * metrics.roc_auc_score(code, probability) - 1, abs=1e-12)
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(code, probability), abs=1e-12)
    assert found["ks"] == pytest.approx(ks_2samp(probability[code == 1], probability[code == 0]).statistic, abs=1e-12)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(code, probability >= 1 / 6))
    rate = code.mean()
    assert found["brier_skill"] == pytest.approx(1 - metrics.brier_score_loss(code, probability) / (rate * (1 - rate)))


def test_losses_are_those_of_scikit_learn() -> None:
    from sklearn import metrics

    probability, code, _ = made(3000, 2)
    found = outcome_losses(probability, code, np.full(3000, np.nan), COSTS)
    assert found["log_loss"].mean() == pytest.approx(metrics.log_loss(code, probability))
    assert found["brier"].mean() == pytest.approx(metrics.brier_score_loss(code, probability))


def test_slope_and_intercept_are_those_of_statsmodels() -> None:
    import statsmodels.api as sm

    probability, code, index = made(4000, 3)
    logit = np.log(probability / (1 - probability))
    both = sm.Logit(code, sm.add_constant(logit)).fit(disp=0)
    large = sm.GLM(code, np.ones((4000, 1)), family=sm.families.Binomial(), offset=logit).fit()
    parts = {one.name: one for one in outcome_metrics(probability, code, index, settings())}
    draws = Resampling(np.arange(4000), block=1, replications=2000, seed=0)  # every row a unit: then errors are known
    slope, low, high = draws.interval(parts["calibration_slope"], 0.95)
    assert slope == pytest.approx(both.params[1], abs=1e-8)
    assert 0.6 < both.params[1] < 0.73, "made too far apart by one half"
    error = sm.Logit(code, sm.add_constant(logit)).fit(disp=0, cov_type="HC0").bse[1]
    assert low is not None
    assert high is not None
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert draws.take(parts["calibration_intercept"])[0] == pytest.approx(large.params[0], abs=1e-8)


def test_draws_of_a_ranking_are_exact_whatever_the_sizes_of_days() -> None:
    from sklearn import metrics

    probability, code, index = made(600, 4, days=20, digits=2)
    day = np.unique(index.time, return_inverse=True)[1]
    days = day.max() + 1
    drawn = next(stationary_bootstrap(days, 3, 200, 7))
    parts = {one.name: one for one in ranking_metrics(probability, code)}
    for name, judge in (("auc", metrics.roc_auc_score), ("average_precision", metrics.average_precision_score)):
        _, replicates = resampling(index).take(parts[name])
        assert replicates is not None
        for number in (0, 17, 199):
            rows = np.concatenate([np.flatnonzero(day == one) for one in drawn[number]])
            assert replicates[number] == pytest.approx(judge(code[rows], probability[rows]), abs=1e-12)


@pytest.mark.parametrize(("shift", "part"), [(-5.0, 1e-9), (0.0, 0.05)])
def test_draws_over_cells_are_close_to_exact_ones(shift: float, part: float) -> None:
    """Exact for a rare class; else off by a small part of the interval's width."""
    from sklearn import metrics

    probability, code, index = made(20_000, 5, days=100, digits=12, shift=shift)
    assert len(np.unique(probability)) > 10 * CELLS
    day = np.unique(index.time, return_inverse=True)[1]
    drawn = next(stationary_bootstrap(day.max() + 1, 3, 200, 7))
    parts = {one.name: one for one in ranking_metrics(probability, code)}
    for name, judge in (("auc", metrics.roc_auc_score), ("average_precision", metrics.average_precision_score)):
        _, replicates = resampling(index).take(parts[name])
        assert replicates is not None
        exact = []
        for number in range(10):
            rows = np.concatenate([np.flatnonzero(day == one) for one in drawn[number]])
            exact.append(judge(code[rows], probability[rows]))
        assert np.abs(replicates[:10] - exact).max() < part * np.std(replicates), name


def test_top_of_a_day_by_hand() -> None:
    score = np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.7])
    day = np.array([0, 0, 0, 0, 0, 1])
    # one place is left for three equal scores: a third each; the other day has one row, and it is taken
    assert taken_at_top(score, day, 2).tolist() == [1.0, 1 / 3, 1 / 3, 1 / 3, 0.0, 1.0]
    code = np.array([1, 1, 0, 0, 1, 0])
    index = index_of(code, np.datetime64("2024-01-01") + day)
    found = values_of(top_metrics(score, code, index.time, index.entity, (2,)), index)
    assert found["precision_top_2"] == pytest.approx((1 + 1 / 3) / 3)
    assert found["recall_top_2"] == pytest.approx((1 + 1 / 3) / 3)
    assert set(found) == {"precision_top_2", "recall_top_2"}


def test_a_card_checked_once_a_day() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.2])
    code = np.array([0, 1, 0, 1])
    index = index_of(code, np.full(4, np.datetime64("2024-01-01")), entity=[0, 0, 1, 2])
    found = values_of(top_metrics(score, code, index.time, index.entity, (2,)), index)
    assert found["precision_top_2"] == 0.5
    # cards 0 (one of its rows came) and 1 are checked, 2 is not
    assert found["entity_precision_top_2"] == 0.5
    assert found["entity_recall_top_2"] == 0.5


def test_the_order_of_rows_changes_nothing() -> None:
    probability, code, index = made(2000, 6, digits=2)
    order = np.random.default_rng(0).permutation(2000)
    first = values_of(outcome_metrics(probability, code, index, settings((3, 10))), index)
    mixed = index.take(order)
    second = values_of(outcome_metrics(probability[order], code[order], mixed, settings((3, 10))), mixed)
    assert first == pytest.approx(second)


def test_costs_by_hand() -> None:
    stake = np.array([np.nan, 2.0, 0.0, np.nan])
    assert cost_threshold(stake, COSTS).tolist() == [1 / 6, 1 / 11, 1.0, 1 / 6]
    probability = np.array([0.1, 0.1, 0.9, 0.5])
    assert cost_loss(probability, np.array([1, 0, 1, 0]), stake, COSTS).tolist() == [5.0, 1.0, 0.0, 1.0]
    assert cost_loss(probability, np.array([0, 1, 0, 1]), stake, COSTS).tolist() == [0.0, 0.0, 0.0, 0.0]
    assert np.isnan(cost_loss(np.array([np.nan] * 4), np.zeros(4, dtype=np.int64), NO_STAKE, COSTS)).all()
    code = np.array([1, 0, 0, 0])
    index = index_of(code, np.full(4, np.datetime64("2024-01-01")))
    found = values_of(outcome_metrics(np.array([0.9, 0.9, 0.1, 0.1]), code, index, settings()), index)
    assert (found["cost"], found["cost_accept_all"], found["cost_refuse_all"]) == (0.25, 1.25, 0.75)
    assert found["cost_saved"] == pytest.approx(1 - 0.25 / 0.75)


def test_bins_are_of_equal_count_and_keep_equal_values_together() -> None:
    assert np.bincount(equal_count_bins(np.random.default_rng(0).random(1000))).tolist() == [100] * 10
    assert equal_count_bins(np.full(7, 0.3)).tolist() == [0] * 7
    assert len(set(equal_count_bins(np.repeat([0.1, 0.2, 0.3], 50)))) == 3


def test_calibration_errors_by_hand() -> None:
    code = np.array([0, 1, 0, 1, 1, 1, 0, 0, 0, 1])
    probability = np.array([0.2] * 5 + [0.8] * 5)
    index = index_of(code, np.full(10, np.datetime64("2024-01-01")))
    found = values_of(outcome_metrics(probability, code, index, settings()), index)
    assert found["calibration_error"] == pytest.approx((abs(0.2 - 0.6) + abs(0.8 - 0.4)) / 2)
    # the top decile is one of ten rows: each of the five equal ones has a fifth of it
    assert found["top_decile_error"] == pytest.approx(0.8 - 0.4)


def test_the_calibration_error_that_chance_gives_is_what_calibrated_forecasts_have() -> None:
    random = np.random.default_rng(3)
    probability = random.beta(1, 8, size=3000)
    errors = []
    for _ in range(200):
        code = (random.random(3000) < probability).astype(np.int64)
        error, chance = calibration_error(probability, code), chance_error(probability)
        errors.append(float(error.combine(*(np.array(one).mean() for one in error.components))))
    expected = float(chance.combine(*(np.array(one).mean() for one in chance.components)))
    assert np.mean(errors) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("code", [0, 1])
def test_one_class_alone_has_no_ranking(code: int) -> None:
    probability, _, index = made(100, 8)
    found = values_of(outcome_metrics(probability, np.full(100, code), index, settings((2,))), index)
    for name in ("auc", "gini", "ks", "average_precision", "calibration_slope", "calibration_intercept", "brier_skill"):
        assert found[name] is None, name
    assert all(value is None or np.isfinite(value) for value in found.values())
    assert found["recall_top_2"] is None if code == 0 else found["recall_top_2"] is not None


def test_a_constant_forecast_and_a_perfect_one() -> None:
    _, code, index = made(200, 9)
    constant = values_of(outcome_metrics(np.full(200, code.mean()), code, index, settings()), index)
    assert (constant["auc"], constant["calibration_slope"]) == (0.5, None)
    assert constant["calibration_intercept"] == pytest.approx(0.0, abs=1e-9)
    assert constant["brier_skill"] == pytest.approx(0.0, abs=1e-12)
    perfect = values_of(outcome_metrics(code.astype(np.float64), code, index, settings()), index)
    assert (perfect["auc"], perfect["ks"], perfect["average_precision"], perfect["calibration_slope"]) == (1.0, 1.0, 1.0, None)


def test_a_forecast_that_is_not_finite_has_losses_alone() -> None:
    probability, code, index = made(50, 10)
    probability[3] = np.nan
    assert [one.name for one in outcome_metrics(probability, code, index, settings())] == ["log_loss", "brier", "cost"]


def test_intervals_of_a_large_table_take_a_second_or_two() -> None:
    probability, code, index = made(200_000, 11, days=700, digits=9, shift=-6.0)
    started = time.process_time()
    draws = resampling(index, 1000)
    found = {one.name: draws.interval(one, 0.95) for one in outcome_metrics(probability, code, index, settings((100,)))}
    seconds = time.process_time() - started
    assert all(None not in interval and interval[1] <= interval[2] for interval in found.values())
    assert seconds < 6, "0.4 s on an idle machine"
