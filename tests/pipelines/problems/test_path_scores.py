"""Scores of paths and their stylised facts, against definitions written out and other implementations."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from finflow.models.base import Prediction
from finflow.models.samples import SampleIndex
from finflow.pipelines.problems.generate import GenerateSettings
from finflow.pipelines.problems.path_scores import (
    drawdown,
    energy_parts,
    fair_crps,
    functional_scores,
    realised_volatility,
    steps_of,
    total_return,
)
from finflow.pipelines.problems.path_tests import discriminative_score, membership, train_on_synthetic
from finflow.pipelines.problems.scenario_checks import scenario_check
from finflow.pipelines.problems.stylised_facts import stylised_metrics
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts
from finflow.pipelines.statistics.risk.paths import risks_of_paths
from finflow.pipelines.statistics.risk.stressed import stressed_risks
from tests.support.models.path_cases import garch_returns

TIMES = np.datetime64("2020-01-06", "ns") + np.arange(400) * np.timedelta64(7, "D")


def value(parts: MetricParts) -> float:
    return float(parts.combine(*(np.nanmean(component) for component in parts.components)))


def index_of(target: Float64) -> SampleIndex:
    count, outputs = target.shape
    times = TIMES[:count]
    return SampleIndex(
        row=np.arange(count),
        time=times,
        label_start=times,
        label_end=times,
        entity=np.zeros(count, dtype=np.int64),
        target=target.astype(np.float32),
        target_time=np.tile(times[:, None], outputs),
        origin=np.full(count, 100.0),
    )


def garch_paths(count: int, outputs: int, seed: int, **law: float) -> Float64:
    """[count, outputs]: cumulative stretches of a long series, far apart."""
    series = garch_returns(count * (outputs + 50), seed, **law).reshape(count, -1)[:, :outputs]
    return np.cumsum(series, axis=1)


def test_the_functionals_by_hand() -> None:
    path = np.array([[0.01, 0.03, -0.02, -0.01]])
    assert total_return(path).tolist() == [-0.01]
    assert steps_of(path)[0] == pytest.approx([0.01, 0.02, -0.05, 0.01])
    assert realised_volatility(path) == pytest.approx(np.sqrt(0.01**2 + 0.02**2 + 0.05**2 + 0.01**2))
    assert drawdown(path) == pytest.approx(0.05)
    assert drawdown(np.array([[-0.02, -0.01]])) == pytest.approx(0.02)  # below the start
    assert drawdown(np.array([[0.01, 0.02]])).tolist() == [0.0]


def test_fair_crps_is_its_definition_and_has_no_bias_of_few_draws() -> None:
    random = np.random.default_rng(1)
    drawn, actual = random.normal(size=(3, 7)), random.normal(size=3)
    pairs = [np.mean([abs(one - other) for one, other in itertools.permutations(row, 2)]) for row in drawn]
    expected = np.abs(drawn - actual[:, None]).mean(axis=1) - 0.5 * np.array(pairs)
    np.testing.assert_allclose(fair_crps(drawn, actual), expected)
    # a standard normal's expected score under itself is 1 / sqrt(pi), whatever the number of draws (Gneiting and Raftery 2007)
    for draws in (2, 50):
        scores = fair_crps(random.normal(size=(40_000, draws)), random.normal(size=40_000))
        assert scores.mean() == pytest.approx(1 / np.sqrt(np.pi), abs=4 * scores.std() / 200)


def test_energy_parts_are_mean_distances() -> None:
    paths = np.random.default_rng(2).normal(size=(2, 5, 3)).astype(np.float32)
    target = np.zeros((2, 3))
    apart, between = energy_parts(Prediction("paths", paths), target)
    for number, drawn in enumerate(paths.astype(np.float64)):
        assert apart[number] == pytest.approx(np.linalg.norm(drawn, axis=1).mean() / np.sqrt(3))
        pairs = [np.linalg.norm(one - other) for one, other in itertools.combinations(drawn, 2)]
        assert between[number] == pytest.approx(np.mean(pairs) / np.sqrt(3))


def test_the_truth_has_the_lowest_scores_and_a_diversity_of_one() -> None:
    random = np.random.default_rng(1)
    target = np.cumsum(random.normal(0, 0.01, (300, 20)), axis=1)
    truth = np.cumsum(random.normal(0, 0.01, (300, 60, 20)), axis=2)
    drawn = {scale: scale * truth for scale in (0.6, 1.0, 1.6)}
    scores = {scale: functional_scores(Prediction("paths", paths.astype(np.float32)), target) for scale, paths in drawn.items()}
    for name in scores[1.0]:
        assert scores[1.0][name].mean() < min(scores[0.6][name].mean(), scores[1.6][name].mean())
    apart, between = energy_parts(Prediction("paths", drawn[1.0].astype(np.float32)), target)
    assert between.mean() / apart.mean() == pytest.approx(1.0, abs=0.05)


def test_stylised_metrics_agree_with_other_implementations() -> None:
    target, paths = garch_paths(80, 30, 3), garch_paths(80 * 4, 30, 4, alpha=0.2, beta=0.7).reshape(80, 4, 30).astype(np.float32)
    scale = np.full(80, 0.01)
    found = {parts.name: parts for parts in stylised_metrics(paths, target, scale)}
    real, drawn = steps_of(target), steps_of(paths.astype(np.float64))
    assert value(found["kurtosis"]) == pytest.approx(stats.kurtosis(drawn.ravel(), fisher=False))
    assert found["kurtosis"].target == pytest.approx(stats.kurtosis(real.ravel(), fisher=False))
    distance = stats.wasserstein_distance(real.ravel() / 0.01, drawn.ravel() / 0.01)
    assert value(found["wasserstein"]) == pytest.approx(distance, rel=0.1)

    def correlation(first: Float64, second: Float64, lag: int) -> float:
        one, other = first - first.mean(), second - second.mean()
        return float((one[..., :-lag] * other[..., lag:]).mean() / np.sqrt((one**2).mean() * (other**2).mean()))

    lags = range(1, 30)
    errors = [abs(correlation(abs(real), abs(real), lag) - correlation(abs(drawn), abs(drawn), lag)) for lag in lags]
    assert value(found["clustering_error"]) == pytest.approx(np.mean(errors), rel=1e-6)
    errors = [abs(correlation(real, abs(real), lag) - correlation(drawn, abs(drawn), lag)) for lag in range(1, 11)]
    assert value(found["leverage_error"]) == pytest.approx(np.mean(errors), rel=1e-6)


def test_a_classifier_tells_other_paths_apart_but_not_the_same() -> None:
    target, scale = garch_paths(300, 40, 5), np.full(300, 0.01)
    same = garch_paths(300 * 2, 40, 6).reshape(300, 2, 40).astype(np.float32)
    other = np.cumsum(np.random.default_rng(7).uniform(-0.017, 0.017, (300, 2, 40)), axis=2).astype(np.float32)
    assert value(discriminative_score(same, index_of(target), scale, 0)) < 0.12
    assert value(discriminative_score(other, index_of(target), scale, 0)) > 0.35


def test_the_classifier_never_learns_from_paths_that_reach_into_the_stretch_it_is_judged_on(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[int] = []

    class Judge:
        def __init__(self, **settings: object) -> None:
            pass

        def fit(self, features: Float64, labels: Float64) -> None:
            learnt.append(len(features))

        def predict(self, features: Float64) -> Float64:
            return np.ones(len(features))

    monkeypatch.setattr("sklearn.ensemble.HistGradientBoostingClassifier", Judge)
    index = index_of(garch_paths(300, 30, 5))
    drawn = garch_paths(300 * 2, 30, 6).reshape(300, 2, 30).astype(np.float32)
    overlapping = replace(index, label_end=index.time + np.timedelta64(7 * 12, "D"))
    assert value(discriminative_score(drawn, overlapping, np.full(300, 0.01), 0)) == 0.0
    # stretches of 60 weeks; paths of twelve reach over both ends of the middle ones
    assert learnt == [2 * 228, 2 * 216, 2 * 216, 2 * 216, 2 * 228]


def test_training_on_paths_without_clustering_teaches_nothing() -> None:
    law = {"alpha": 0.2, "gamma": 0.0, "beta": 0.75}
    target, scale = garch_paths(300, 60, 8, **law), np.full(300, 0.01)
    same = garch_paths(300 * 5, 60, 9, **law).reshape(300, 5, 60).astype(np.float32)
    still = garch_paths(300 * 5, 60, 10, alpha=0.0, gamma=0.0, beta=0.0).reshape(300, 5, 60).astype(np.float32)
    assert value(train_on_synthetic(same, target, scale)) > 0.2
    assert value(train_on_synthetic(still, target, scale)) < 0.05


def test_copies_of_the_training_part_are_found_and_new_paths_are_not() -> None:
    members, held_out = garch_paths(200, 30, 11), garch_paths(100, 30, 12)
    fold, index, train = np.zeros(100, dtype=np.int64), index_of(held_out), [index_of(members)]
    new = garch_paths(100 * 8, 30, 13).reshape(100, 8, 30).astype(np.float32)
    chosen = np.random.default_rng(14).integers(0, 200, (100, 8))
    assert value(membership(new, index, fold, train, 0)) == pytest.approx(0.5, abs=0.08)
    assert value(membership(members[chosen].astype(np.float32), index, fold, train, 0)) > 0.9


def test_a_collapsed_generator_fails() -> None:
    target = garch_paths(60, 30, 15, alpha=0.2, gamma=0.0, beta=0.75)
    index = index_of(target)
    good = Prediction("paths", garch_paths(60 * 20, 30, 16, alpha=0.2, gamma=0.0, beta=0.75).reshape(60, 20, 30).astype(np.float32))
    collapsed = Prediction("paths", np.repeat(good.values[:1, :1], 60, axis=0).repeat(20, axis=1))
    flat = Prediction("paths", np.cumsum(np.random.default_rng(1).normal(0, 0.01, (60, 20, 30)), axis=2).astype(np.float32))
    assert [scenario_check("diversity", one, index).passed for one in (good, collapsed, flat)] == [True, False, True]
    assert [scenario_check("stylised_facts", one, index).passed for one in (good, flat)] == [True, False]
    assert "0.00 times as far" in scenario_check("diversity", collapsed, index).words


def test_stressed_risk_is_that_of_the_most_volatile_paths() -> None:
    paths = garch_paths(2 * 40, 10, 17).reshape(2, 40, 10).astype(np.float32)
    found = stressed_risks(paths, (0.9,), 0.5)
    volatility = (steps_of(paths.astype(np.float64)) ** 2).sum(axis=2)
    for sample, step in ((0, 3), (1, 9)):
        worst = np.argsort(-volatility[sample])[:20]
        losses = -np.expm1(paths[sample, :, step].astype(np.float64))
        row = sample * 10 + step
        np.testing.assert_allclose(found[""].at(0.9)[0][row], risks_of_paths(losses[None], (0.9,)).at(0.9)[0][0])
        np.testing.assert_allclose(found["stressed_"].at(0.9)[1][row], risks_of_paths(losses[None, worst], (0.9,)).at(0.9)[1][0])


@pytest.mark.parametrize(("paths", "share", "confidence"), [(334, 0.1, 0.97), (100, 1 / 3, 0.97), (50, 2 / 3, 0.97), (400, 0.25, 0.99)])
def test_as_many_paths_as_a_definition_may_ask_for_suffice_for_stressed_risk(paths: int, share: float, confidence: float) -> None:
    settings = GenerateSettings(paths=paths, stressed_share=share, confidences=(confidence,))
    drawn = garch_paths(2 * paths, 5, 17).reshape(2, paths, 5).astype(np.float32)
    found = stressed_risks(drawn, settings.confidences, settings.stressed_share)
    assert np.isfinite(found["stressed_"].expected_shortfall).all()
