"""Against arch, by what is known of the answer, and by the error rate under the null."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.statistics import default_block, model_confidence_set, superior_predictive_ability
from finflow.pipelines.statistics.multiple import long_run_variance, studentised_advantage
from tests.support.stepwise import step_down, stepwise_superior

SETTINGS = {"block": 10, "replications": 500, "seed": 1}


def field(dates: int = 800, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A benchmark, one better candidate, one a little better, two no better, one much worse and noisy."""
    random = np.random.default_rng(seed)
    benchmark = random.gamma(2, size=dates)
    shifts = {"better": (-0.05, 0.2), "slightly": (-0.025, 0.2), "even": (0.0, 0.2), "equal": (0.0, 0.3), "worse": (0.3, 5.0)}
    return benchmark, {name: benchmark + shift + random.normal(0, noise, dates) for name, (shift, noise) in shifts.items()}


def test_the_better_ones_are_found_past_a_noisy_one() -> None:
    benchmark, candidates = field()
    assert stepwise_superior(benchmark, candidates, level=0.05, **SETTINGS) == ("better", "slightly")
    assert stepwise_superior({"one": benchmark}, candidates, level=0.05, **SETTINGS) == ("better", "slightly")


def test_every_benchmark_must_be_beaten() -> None:
    benchmark, candidates = field()
    good = candidates["better"] + np.random.default_rng(9).normal(0, 0.2, 800)
    assert stepwise_superior({"weak": benchmark, "good": good}, candidates, level=0.05, **SETTINGS) == ()
    weaker = {"weak": benchmark, "weaker": benchmark + 0.1 + np.random.default_rng(8).normal(0, 0.2, 800)}
    assert "better" in stepwise_superior(weaker, candidates, level=0.05, **SETTINGS)


def test_a_thin_level_refuses_what_a_thick_one_admits() -> None:
    shocks = np.random.default_rng(6).standard_normal(900)
    # t of 2.5: a p-value of 0.6 %
    advantage = (shocks - shocks.mean()) / shocks.std() + 2.5 / 30
    settings = {"block": 1, "replications": 100, "seed": 1}
    assert stepwise_superior(np.zeros(900), {"one": -advantage}, level=0.02, **settings) == ("one",)
    # 100 draws could not tell; more are made
    assert stepwise_superior(np.zeros(900), {"one": -advantage}, level=0.002, **settings) == ()


def test_the_stepwise_set_is_that_of_arch() -> None:
    from arch.bootstrap import StepM

    for seed in range(4):
        random = np.random.default_rng(seed)
        # differences of variance 1 each, because arch does not studentise; many dates, where the allowance for few blocks vanishes
        advantages = random.standard_normal((3000, 5)) + np.array([0.12, 0.07, 0.0, -0.02, -0.2])
        reference = StepM(np.zeros(3000), -advantages, size=0.05, block_size=2, reps=1000, bootstrap="stationary", seed=seed)
        reference.compute()
        own = step_down(advantages, 0.05, 2, 1000, seed)
        assert list(np.flatnonzero(own)) == reference.superior_models == [0, 1]


def test_all_may_be_superior_in_a_later_step() -> None:
    # t of 5 and 1.8: the second is found only once the first no longer raises the critical value from 1.65 to 1.95
    shocks = np.random.default_rng(5).standard_normal((400, 2))
    advantages = (shocks - shocks.mean(axis=0)) / shocks.std(axis=0) + np.array([5.0, 1.8]) / 20
    assert step_down(advantages, 0.05, 1, 2000, 0).all()
    even = advantages - [0.25, 0.0]
    assert not step_down(even, 0.05, 1, 2000, 0).any()


@pytest.mark.parametrize("spoiled", ["nan", "infinite", "same", "constant"])
def test_what_cannot_be_compared_is_not_superior_and_disturbs_nobody(spoiled: str) -> None:
    benchmark, candidates = field()
    own = {
        "nan": np.where(np.arange(800) == 5, np.nan, benchmark - 1),
        "infinite": np.where(np.arange(800) == 5, -np.inf, benchmark - 1),
        "same": benchmark,
        "constant": benchmark - 1,
    }[spoiled]
    assert stepwise_superior(benchmark, {**candidates, "spoiled": own}, level=0.05, **SETTINGS) == ("better", "slightly")
    assert stepwise_superior(benchmark, {"spoiled": own}, level=0.05, **SETTINGS) == ()
    assert superior_predictive_ability(benchmark, {"spoiled": own}, **SETTINGS) == 1.0


def test_the_same_seed_gives_the_same_answer() -> None:
    benchmark, candidates = field()
    for test in (
        lambda: superior_predictive_ability(benchmark, candidates, **SETTINGS),
        lambda: model_confidence_set(candidates, **SETTINGS),
    ):
        assert test() == test()


def test_superior_predictive_ability_tells_skill_from_none() -> None:
    benchmark, candidates = field()
    assert superior_predictive_ability(benchmark, candidates, **SETTINGS) < 0.01
    losers = {name: candidates[name] for name in ("even", "worse")}
    assert superior_predictive_ability(benchmark, losers, **SETTINGS) > 0.1


def test_the_confidence_set_holds_the_best_and_leaves_the_worse_out() -> None:
    _, candidates = field()
    twin = candidates["better"] + np.random.default_rng(3).normal(0, 0.2, 800)
    found = model_confidence_set({**candidates, "twin": twin}, **SETTINGS)
    assert list(found) == [*candidates, "twin"]
    assert found["better"] > 0.05
    assert found["twin"] > 0.05
    assert found["equal"] < 0.05
    assert max(found.values()) == 1.0


def test_the_confidence_set_with_copies_and_broken_losses() -> None:
    _, candidates = field()
    broken = {**candidates, "copy": candidates["better"], "nan": candidates["better"] * np.nan}
    found = model_confidence_set(broken, **SETTINGS)
    assert found["copy"] == found["better"] == 1.0
    assert found["nan"] == 0.0
    assert model_confidence_set({"alone": candidates["even"]}, **SETTINGS) == {"alone": 1.0}
    assert model_confidence_set({}, **SETTINGS) == {}


@pytest.mark.parametrize("seed", range(3))
def test_both_agree_with_arch(seed: int) -> None:
    """Other draws of the same bootstrap; over many dates, where the allowance for few blocks vanishes."""
    from arch.bootstrap import MCS, SPA

    shocks = np.random.default_rng(seed).standard_normal((3000, 5))
    shocks -= shocks.mean(axis=0)
    losses = dict(zip("abcde", (shocks + np.array([0.0, -0.03, 0.01, 0.02, 0.06])).T, strict=True))
    confidence = MCS(pd.DataFrame(losses), size=0.05, reps=2000, block_size=2, method="R", bootstrap="stationary", seed=seed)
    confidence.compute()
    expected = {name: float(confidence.pvalues["Pvalue"][name]) for name in losses}
    mine = model_confidence_set(losses, block=2, replications=2000, seed=seed)
    # the error of simulation of each is at most 0.011
    assert mine == pytest.approx(expected, abs=0.05)
    assert sum(0.05 < value < 0.95 for value in expected.values()) >= 2, "p-values at the edges would agree whatever is done"
    benchmark, rivals = losses.pop("a"), losses
    # arch does not divide by the deviations: what it is given is divided already
    scaled = np.column_stack([-studentised_advantage(values, benchmark, 2) for values in rivals.values()])
    ability = SPA(np.zeros(3000), scaled, block_size=2, reps=2000, bootstrap="stationary", seed=seed)
    ability.compute()
    found = superior_predictive_ability(benchmark, rivals, block=2, replications=2000, seed=seed)
    assert found == pytest.approx(float(ability.pvalues["consistent"]), abs=0.05)
    assert 0.05 < found < 0.95


def test_equal_means_end_in_no_error() -> None:
    """Losses of 0 and 1, as many right as wrong: arch 8.0's confidence set raises an IndexError."""
    random = np.random.default_rng(0)
    right = (random.random(300) < 0.5).astype(float)
    losses = {"a": right, "b": random.permutation(right), "c": random.permutation(right)}
    assert model_confidence_set(losses, block=3, replications=200, seed=1) == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_no_p_value_is_zero_and_the_scale_of_the_losses_is_nothing() -> None:
    benchmark, candidates = field()
    losses = {"far": benchmark + 5 + candidates["even"] * 0.01, **candidates}
    found = model_confidence_set(losses, **SETTINGS)
    assert found["far"] == 1 / 501
    small = {name: values * 1e-100 for name, values in losses.items()}
    assert model_confidence_set(small, **SETTINGS) == pytest.approx(found, abs=0.005)
    assert superior_predictive_ability(benchmark + 5, candidates, **SETTINGS) == 1 / 501


def test_how_often_both_err_when_all_are_even() -> None:
    """The share of runs that find skill, or leave a model out of the set, where all have the same expected loss."""
    skill = left_out = 0
    for trial in range(200):
        random = np.random.default_rng(trial)
        losses = {str(number): random.normal(size=300) for number in range(4)}
        settings = {"block": default_block(300, 1), "replications": 199, "seed": trial}
        skill += superior_predictive_ability(losses["0"], {name: losses[name] for name in "123"}, **settings) <= 0.05
        left_out += min(model_confidence_set(losses, **settings).values()) <= 0.05
    # the standard error of a share of 5 % over 200 trials is 1.5 %
    assert 0 < skill / 200 < 0.1
    assert 0 < left_out / 200 < 0.1


@pytest.mark.benchmark
def test_both_cost_little() -> None:
    """A leaderboard of eight entries and five years, as an evaluation asks for it."""
    random = np.random.default_rng(0)
    base = random.gamma(2, size=1250)
    losses = {str(number): base + random.normal(0, 0.3, 1250) for number in range(8)}
    settings = {"block": default_block(1250, 5), "replications": 999, "seed": 1}
    started = time.process_time()
    model_confidence_set(losses, **settings)
    superior_predictive_ability(losses["0"], {name: losses[name] for name in "1234567"}, **settings)
    taken = time.process_time() - started
    assert taken < 1.0


def test_wrong_calls_are_refused() -> None:
    benchmark, candidates = field()
    for level in (0.0, 1.0, 5.0):
        with pytest.raises(ValueError, match="level"):
            stepwise_superior(benchmark, candidates, level=level, **SETTINGS)
    with pytest.raises(ValueError, match="shapes"):
        model_confidence_set({"one": benchmark[:-1], **candidates}, **SETTINGS)
    with pytest.raises(ValueError, match="shapes"):
        superior_predictive_ability(benchmark[:-1], candidates, **SETTINGS)
    with pytest.raises(ValueError, match="shapes"):
        stepwise_superior(benchmark[:-1], candidates, level=0.05, **SETTINGS)
    assert stepwise_superior(benchmark, {}, level=0.05, **SETTINGS) == ()


def errors(trials: int, dates: int, horizon: int, candidates: int) -> float:
    """How often some candidate is called superior when none is: overlapping losses, candidates that share half of their shocks."""
    block, wrong = default_block(dates, horizon), 0
    for trial in range(trials):
        random = np.random.default_rng(trial)
        shared = random.standard_t(6, dates + horizon - 1)
        losses = {}
        for number in range(candidates):
            shocks = shared + random.standard_t(6, dates + horizon - 1)
            losses[str(number)] = np.convolve(shocks, np.ones(horizon), "valid")
        wrong += bool(stepwise_superior(np.zeros(dates), losses, level=0.05, block=block, replications=300, seed=trial))
    return wrong / trials


def test_the_best_of_four_even_candidates_is_rarely_superior() -> None:
    # the standard error of a share of 5 % over 300 trials is 1.3 %; uncorrected, it would be some 13 %
    assert errors(300, 300, 1, 4) < 0.085


@pytest.mark.slow
@pytest.mark.parametrize(("dates", "horizon", "candidates"), [(250, 5, 1), (250, 5, 4), (1250, 5, 1), (1250, 5, 4), (1000, 60, 2)])
def test_the_error_rate_over_overlapping_losses(dates: int, horizon: int, candidates: int) -> None:
    # overlapping losses leave a small excess over 5 %
    assert errors(600, dates, horizon, candidates) < 0.09


@pytest.mark.parametrize("lag", [0, 1, 4, 12])
def test_the_long_run_variance_is_that_of_statsmodels(lag: int) -> None:
    import statsmodels.api as sm

    values = np.convolve(np.random.default_rng(lag).gamma(2, size=404), np.ones(5), "valid")
    fit = sm.OLS(values, np.ones(400)).fit(cov_type="HAC", cov_kwds={"maxlags": lag, "use_correction": False})
    assert long_run_variance(values, lag) == pytest.approx(400 * float(fit.bse[0]) ** 2, rel=1e-9)
