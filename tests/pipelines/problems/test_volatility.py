"""The volatility problem: estimators, targets, losses and prediction rows, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Prediction
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.problems.volatility import LOG_VARIANCE, MOVE, qlike
from finflow.pipelines.samples.windows import build_samples, task_of
from finflow.pipelines.statistics.metric_parts import MetricParts
from tests.support.pipelines.bars import bars, definition
from tests.support.pipelines.problems.indices import index_of

ENTITIES = ("ALPHA", "中国银行")
FEATURES = [{"kind": "log_garman_klass", "name": "log_variance"}]


def volatility(horizon: int = 2, **settings: object) -> Problem:
    return problem_of(definition(window={"length": 1, "horizon": horizon}, problem={"kind": "volatility", **settings}))


def clean(**changes: list[float]) -> pd.DataFrame:
    columns: dict[str, list[float]] = {
        "open": [100.0, 101.0, 99.0, 100.0],
        "high": [102.0, 103.0, 100.0, 104.0],
        "low": [99.0, 100.0, 97.0, 100.0],
        "close": [101.0, 100.0, 98.0, 103.0],
    }
    time = pd.to_datetime(["2017-12-26", "2017-12-27", "2017-12-28", "2017-12-29"])
    return pd.DataFrame({"entity": "A", "time": time, **{**columns, **changes}})


def value(parts: list[MetricParts], name: str) -> float:
    found = next(part for part in parts if part.name == name)
    return float(found.combine(*(np.nanmean(component) for component in found.components)))


def log(upper: float, lower: float) -> float:
    return float(np.log(upper / lower))


def test_garman_klass_by_hand() -> None:
    """The second day: range 103/100, from 101 to 100, opened where the day before closed; the third opened a percent lower."""
    second = 0.5 * log(103, 100) ** 2 - 0.3862943611 * log(100, 101) ** 2
    third = 0.5 * log(100, 97) ** 2 - 0.3862943611 * log(98, 99) ** 2 + log(99, 100) ** 2
    fourth = 0.5 * log(104, 100) ** 2 - 0.3862943611 * log(103, 100) ** 2 + log(100, 98) ** 2
    targets = volatility().targets(clean(), "XNYS")
    nan = np.nan
    expected = [[second, (second + third) / 2], [third, (third + fourth) / 2], [fourth, nan], [nan, nan]]
    np.testing.assert_allclose(targets.values, expected, rtol=1e-6)
    np.testing.assert_allclose(targets.origin, [nan, second, third, fourth], rtol=1e-9)
    assert targets.label_start[0] == np.datetime64("2017-12-27")
    assert targets.label_end[0] == np.datetime64("2017-12-28")
    assert np.isnat(targets.label_end[2])
    # the days after the last are the exchange's next sessions
    assert targets.target_time[3].astype("datetime64[D]").tolist() == [np.datetime64(day).item() for day in ("2018-01-02", "2018-01-03")]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"estimator": "garman_klass", "overnight": False}, 0.5 * log(100, 97) ** 2 - 0.3862943611 * log(98, 99) ** 2),
        ({"estimator": "parkinson"}, log(100, 97) ** 2 / 2.7725887222 + log(99, 100) ** 2),
        ({"estimator": "parkinson", "overnight": False}, log(100, 97) ** 2 / 2.7725887222),
        ({"estimator": "squared_return"}, log(98, 100) ** 2),
        ({"estimator": "column", "column": "realised"}, 3e-4),
    ],
)
def test_other_estimators_by_hand(settings: dict[str, object], expected: float) -> None:
    frame = clean(realised=[1e-4, 2e-4, 3e-4, 4e-4])
    problem = volatility(1, **settings)
    assert set(problem.required) <= set(frame.columns)
    np.testing.assert_allclose(problem.targets(frame, "XNYS").values[1], [expected], rtol=1e-6)
    observed = problem.observe(frame)
    np.testing.assert_allclose(np.exp(observed[LOG_VARIANCE][2]), expected, rtol=1e-6)
    np.testing.assert_allclose(observed[MOVE], [np.nan, log(100, 101), log(98, 100), log(103, 98)], rtol=1e-9)


def test_estimators_are_unbiased_for_a_walk_watched_all_day() -> None:
    random = np.random.default_rng(0)
    steps = random.normal(0, 0.01 / np.sqrt(2000), (1500, 2000))
    path = np.cumsum(steps, axis=1)
    ends = np.concatenate([[0.0], np.cumsum(path[:-1, -1])])
    whole = np.column_stack([ends, ends[:, None] + path])
    prices = {"open": whole[:, 0], "high": whole.max(axis=1), "low": whole.min(axis=1), "close": whole[:, -1]}
    frame = pd.DataFrame({"entity": "A", "time": pd.bdate_range("2000-01-03", periods=1500), **{k: np.exp(v) for k, v in prices.items()}})
    means = {}
    for estimator in ("garman_klass", "parkinson", "squared_return"):
        values = volatility(1, estimator=estimator).targets(frame, None).values[:, 0]
        means[estimator] = np.nanmean(values) / 1e-4
        spread = np.nanstd(values) / 1e-4
        assert means[estimator] == pytest.approx(1.0, abs=4 * spread / np.sqrt(1500) + 0.03), estimator


def test_a_day_without_movement_counts_as_the_floor() -> None:
    still = clean(open=[100.0, 101.0, 100.0, 100.0], high=[102.0, 103.0, 100.0, 104.0], low=[99.0, 100.0, 100.0, 100.0])
    still.loc[2, "close"] = 100.0
    assert volatility(1).targets(still, None).values[1, 0] == np.float32(1e-8)
    assert volatility(1, floor=1e-6).targets(still, None).values[1, 0] == np.float32(1e-6)
    assert volatility(1, estimator="squared_return").targets(still, None).values[1, 0] == np.float32(1e-8)
    measured = clean(realised=[1e-4, 0.0, -1e-4, np.nan])
    found = volatility(1, estimator="column", column="realised").targets(measured, None).values[:, 0]
    np.testing.assert_array_equal(found, np.array([1e-8, np.nan, np.nan, np.nan], dtype=np.float32))


def test_a_day_that_cannot_be_measured_is_in_no_sample_and_no_label() -> None:
    wanted = definition(features=[{"kind": "log_return", "name": "log_return"}], problem={"kind": "volatility"})
    frame = bars(60, entities=("A",))
    frame.loc[30, "high"] = 0.9 * frame["close"].to_numpy()[30]
    whole, broken = build_samples(wanted, bars(60, entities=("A",))), build_samples(wanted, frame)
    lost = set(whole.index.row.tolist()) - set(broken.index.row.tolist())
    assert lost == set(range(30, 35)), "windows of five rows that hold the day"
    unlabelled = broken.index.row[~broken.index.labelled]
    assert set(unlabelled.tolist()) == {28, 29, 58, 59}, "the day before looks one day ahead, the one before that two"


def test_no_target_crosses_a_forbidden_gap() -> None:
    frame = bars(60).drop(index=range(30, 45)).reset_index(drop=True)
    samples = build_samples(definition(features=FEATURES, problem={"kind": "volatility"}), frame)
    samples = samples.take(samples.index.entity == 0)
    rows = samples.index.row.tolist()
    # the first day after the gap has no overnight part, so windows begin a day later
    assert not set(range(30, 35)) & set(rows)
    assert set(samples.index.row[~samples.index.labelled].tolist()) == {28, 29, 43, 44}


def test_qlike_is_least_at_the_truth() -> None:
    assert qlike(np.array([2.0]), np.array([2.0])).item() == 0.0
    assert qlike(np.array([1.0]), np.array([2.0])).item() == pytest.approx(1 - np.log(2))
    noisy = 2e-4 * np.random.default_rng(0).gamma(2.0, 0.5, 20_000)
    tried = noisy.mean() * np.array([0.5, 0.9, 0.99, 1.0, 1.01, 1.1, 2.0])
    means = [qlike(np.full(len(noisy), forecast), noisy).mean() for forecast in tried]
    assert int(np.argmin(means)) == 3
    # differences are those of y / f + log f
    other = [(noisy / forecast + np.log(forecast)).mean() for forecast in tried]
    np.testing.assert_allclose(np.diff(means), np.diff(other), rtol=1e-8)


def answers(values: list[list[float]]) -> Prediction:
    return Prediction("variances", np.array(values, dtype=np.float32))


def test_losses_and_metrics_by_hand() -> None:
    problem = volatility(5)
    index = index_of(np.array([[2e-4, 3e-4], [1e-4, 1e-4]]))
    prediction = answers([[1e-4, 3e-4], [1e-4, 2e-4]])
    losses = problem.losses(prediction, index)
    assert list(losses) == ["qlike", "mse", "qlike_h5", "mse_h5"]
    np.testing.assert_allclose(losses["qlike"], [1 - np.log(2), 0.0], atol=1e-6)
    np.testing.assert_allclose(losses["qlike_h5"], [0.0, 0.5 + np.log(2) - 1], atol=1e-6)
    np.testing.assert_allclose(losses["mse"], [1.0, 0.0], atol=1e-5)
    metrics = problem.metrics(prediction, index, np.ones(2))
    assert value(metrics, "qlike") == pytest.approx((1 - np.log(2)) / 2, rel=1e-5)
    assert value(metrics, "log_rmse") == pytest.approx(np.log(2) / np.sqrt(2), rel=1e-5)
    assert value(metrics, "level") == pytest.approx(1.5, rel=1e-5)
    assert {part.name: (part.better, part.target) for part in metrics if part.name.startswith("level")} == {
        "level": ("target", 1.0),
        "level_h5": ("target", 1.0),
    }
    with pytest.raises(ValueError, match="expected variances"):
        problem.losses(Prediction("scores", np.ones((2, 2), dtype=np.float32)), index)


def test_rows_hold_variance_and_annual_volatility_and_are_read_back() -> None:
    problem = volatility(5)
    index: SampleIndex = index_of(np.zeros((2, 2)), entity=[0, 1])
    prediction = answers([[1e-4, 2e-4], [3e-4, 4e-4]])
    rows = problem.rows(prediction, index, ENTITIES)
    assert list(rows.columns) == ["entity", "time", "target_time", "horizon", "variance", "volatility"]
    assert rows["horizon"].tolist() == [1, 5, 1, 5]
    assert rows["entity"].tolist() == ["ALPHA", "ALPHA", "中国银行", "中国银行"]
    np.testing.assert_allclose(rows["volatility"], np.sqrt(252 * np.array([1e-4, 2e-4, 3e-4, 4e-4])), rtol=1e-6)
    found = problem.answers(rows.sample(frac=1.0, random_state=1), index, ENTITIES)
    assert found.kind == "variances"
    np.testing.assert_array_equal(found.values, prediction.values)
    np.testing.assert_allclose(problem.signals(prediction)["log_variance"], np.log([1e-4, 3e-4]), rtol=1e-5)


LEVELS = (0.1, 0.5, 0.9)


def test_quantiles_are_of_the_logarithm_and_rows_of_the_variance() -> None:
    plain, problem = volatility(), volatility(levels=LEVELS)
    np.testing.assert_allclose(problem.targets(clean(), "XNYS").values, np.log(plain.targets(clean(), "XNYS").values), rtol=1e-6)
    task = problem.task(("a",), ("a",))
    assert (task.kind, task.levels, task.outputs, task.log_variance) == ("quantiles", LEVELS, 2, LOG_VARIANCE)

    index = index_of(np.log([[2e-4, 3e-4], [1e-4, 1e-4]]), entity=[0, 1])
    wide, two = np.log(3.0), np.log(2.0)
    median = np.log([[1e-4, 3e-4], [1e-4, 2e-4]])
    values = np.stack([median - wide, median, median + wide], axis=2).astype(np.float32)
    prediction = Prediction("quantiles", values, LEVELS)
    losses = problem.losses(prediction, index)
    assert list(losses) == ["crps", "mae", "crps_h2", "mae_h2"]
    np.testing.assert_allclose(losses["mae"], [two, 0.0], atol=1e-5)
    np.testing.assert_allclose(losses["mae_h2"], [0.0, two], atol=1e-5)
    # twice the mean of 0.1 (log 3 + d), 0.5 |d| and 0.1 (log 3 - d) for a target d above the median
    np.testing.assert_allclose(losses["crps"], [2 * (0.2 * wide + 0.5 * two) / 3, 2 * 0.2 * wide / 3], rtol=1e-4)
    metrics = problem.metrics(prediction, index, np.ones(2))
    assert [part.name for part in metrics] == ["crps", "mae", "crps_h2", "mae_h2", "coverage_80"]
    assert value(metrics, "coverage_80") == 1.0

    rows = problem.rows(prediction, index, ENTITIES)
    assert list(rows.columns) == ["entity", "time", "target_time", "horizon", "q10", "q50", "q90"]
    np.testing.assert_allclose(rows["q50"], [1e-4, 3e-4, 1e-4, 2e-4], rtol=1e-5)
    np.testing.assert_allclose(rows["q90"], 3 * rows["q50"], rtol=1e-5)
    found = problem.answers(rows.sample(frac=1.0, random_state=1), index, ENTITIES)
    np.testing.assert_allclose(found.values, values, rtol=1e-6)
    with pytest.raises(ValueError, match="expected quantiles"):
        problem.losses(answers([[1e-4, 2e-4], [3e-4, 4e-4]]), index)


def test_what_is_asked_of_a_model() -> None:
    wanted = definition(features=FEATURES, problem={"kind": "volatility"}, window={"length": 5, "horizon": 5})
    samples = build_samples(wanted, bars(60))
    task = task_of(wanted, samples.columns)
    assert (task.kind, task.outputs, task.steps) == ("variances", 2, (1, 5))
    assert samples.columns == ("log_variance", LOG_VARIANCE, MOVE)
    np.testing.assert_array_equal(samples.observations.values[1:, 0], samples.observations.values[1:, 1])
    one = definition(features=FEATURES, problem={"kind": "volatility"}, window={"length": 5, "horizon": 1})
    assert task_of(one, samples.columns).steps == (1,)


@pytest.mark.parametrize(
    "problem", [{"estimator": "column"}, {"column": "realised"}, {"estimator": "close_to_close"}, {"floor": 0}, {"levels": [0.1, 0.9]}]
)
def test_settings_that_make_no_sense_are_refused(problem: dict[str, object]) -> None:
    with pytest.raises(DefinitionError):
        volatility(1, **problem)
