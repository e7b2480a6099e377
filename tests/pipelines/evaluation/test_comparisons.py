"""Who must beat whom, and corrected p-values: worked examples, an independent test, and sizes in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from finflow.pipelines.evaluation.comparisons import (
    _null_statistics,
    adjusted_p_values,
    compare,
    compare_all,
    daily_means,
    family,
    overlap,
)
from finflow.pipelines.statistics import cosine_terms
from tests.support.pipelines.evaluation_support import losses_of
from tests.support.stepwise import stepwise_superior

ENTRIES = {"lstm": False, "dense": False, "random-walk": True, "ridge": True}


def test_without_a_champion_all_challenge_the_reference() -> None:
    assert family(ENTRIES, None, "random-walk") == {
        "lstm": ("random-walk", "ridge"),
        "dense": ("random-walk", "ridge"),
        "ridge": ("random-walk",),
    }


def test_a_baseline_champion_is_challenged_by_all_others() -> None:
    assert family({**ENTRIES, "arima": True}, "ridge", "random-walk") == {
        "lstm": ("random-walk", "ridge", "arima"),
        "dense": ("random-walk", "ridge", "arima"),
        "random-walk": ("ridge",),
        "arima": ("random-walk", "ridge"),
    }


def test_a_network_champion_must_be_beaten_by_candidates_and_by_baselines_but_the_reference() -> None:
    assert family(ENTRIES, "lstm", "random-walk") == {"dense": ("random-walk", "ridge", "lstm"), "ridge": ("random-walk", "lstm")}
    assert family({**ENTRIES, "champion": False}, "champion", "random-walk") == {
        "lstm": ("random-walk", "ridge", "champion"),
        "dense": ("random-walk", "ridge", "champion"),
        "ridge": ("random-walk", "champion"),
    }


def test_one_loss_a_date() -> None:
    times = np.array(["2020-01-02", "2020-01-01", "2020-01-02", "2020-01-02"], dtype="datetime64[ns]")
    dates, values = daily_means(np.array([1.0, 5.0, 2.0, 6.0]), times)
    assert [str(date)[:10] for date in dates] == ["2020-01-01", "2020-01-02"]
    assert values.tolist() == [5.0, 3.0]


def test_the_horizon_is_the_number_of_dates_a_label_spans(index_of) -> None:
    assert overlap(index_of(horizon=5, dates=40)) == 5
    assert overlap(index_of(horizon=1, dates=40)) == 1
    assert overlap(index_of(horizon=0, dates=40)) == 1  # a label that is known at once


def test_the_p_value_of_one_pair() -> None:
    losses = losses_of({"random-walk": 0.0, "ridge": 0.02}, 400)
    found = compare(losses, "ridge", "random-walk", 1)
    assert found.effect == pytest.approx(0.02)
    assert found.statistic is not None
    assert found.statistic < 0
    assert found.p_value == pytest.approx(student.cdf(found.statistic, 21), rel=1e-12)
    other = compare(losses, "random-walk", "ridge", 1)
    assert other.p_value == pytest.approx(1 - found.p_value, rel=1e-9)


def test_the_best_dates_of_one_pair() -> None:
    losses = {"one": np.ones(10), "two": np.array([4.0, 3.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.5, 1.0, 0.5])}
    found = compare(losses, "one", "two", 1)
    # advantages 3, 2, 1, 1, four times 0 and twice -0.5: in all 6, without the best five -1 of 4
    assert found.effect == pytest.approx(6 / 16)
    assert found.best_dates_share == pytest.approx(7 / 6)
    assert found.effect_without_best == pytest.approx(-1 / 4)
    assert compare(losses, "two", "one", 1).best_dates_share is None, "there is no advantage to divide"
    assert compare(losses, "one", "two", 1, logarithmic=True).effect_without_best == pytest.approx(-1 / 5)
    few = {name: values[:5] for name, values in losses.items()}
    assert compare(few, "one", "two", 1).effect_without_best is None


def test_one_challenger_needs_no_correction() -> None:
    losses = losses_of({"random-walk": 0.0, "ridge": 0.03}, 500, noise=0.35)
    plain = compare(losses, "ridge", "random-walk", 1).p_value
    adjusted = adjusted_p_values(losses, {"ridge": ("random-walk",)}, horizon=1, seed=3, replications=20_000)["ridge"]
    assert plain <= adjusted
    assert adjusted == pytest.approx(plain, rel=0.25)


def test_copies_of_one_challenger_count_as_one_try_and_independent_ones_do_not() -> None:
    losses = losses_of({"random-walk": 0.0, "a": 0.03, **{f"n{k}": 0.0 for k in range(8)}}, 500, noise=0.35)
    copies = {**losses, **{f"copy{k}": losses["a"] for k in range(8)}}
    one = adjusted_p_values(losses, {"a": ("random-walk",)}, horizon=1, seed=3)["a"]
    among_copies = adjusted_p_values(copies, {n: ("random-walk",) for n in copies if n[0] in "ac"}, horizon=1, seed=3)["a"]
    among_others = adjusted_p_values(losses, {n: ("random-walk",) for n in losses if n[0] in "an"}, horizon=1, seed=3)["a"]
    assert among_copies == pytest.approx(one, rel=0.1)
    assert among_others > 3 * one


def test_more_baselines_do_not_make_a_challenger_better() -> None:
    losses = losses_of({"random-walk": 0.0, "ridge": 0.05, "dense": 0.06}, 500)
    alone = adjusted_p_values(losses, {"dense": ("random-walk",)}, horizon=1, seed=3)["dense"]
    both = adjusted_p_values(losses, {"dense": ("random-walk", "ridge")}, horizon=1, seed=3)["dense"]
    assert alone < 0.01
    assert both > 0.1


def test_candidates_and_baselines_are_families_of_their_own() -> None:
    losses = losses_of({"random-walk": 0.0, "ridge": 0.03, "historical-mean": 0.0, "lstm": 0.04}, 500, noise=0.35)
    kinds = {"random-walk": True, "ridge": True, "historical-mean": True, "lstm": False}
    few = compare_all(losses, kinds, None, "random-walk", horizon=1, seed=3)
    assert few["random-walk"].adjusted_p is None, "the reference challenges nobody"
    others = losses_of({f"net {number}": 0.04 for number in range(8)}, 500, noise=0.35)
    more = compare_all({**losses, **others}, {**kinds, **dict.fromkeys(others, False)}, None, "random-walk", horizon=1, seed=3)
    for name in ("ridge", "historical-mean"):
        assert more[name].adjusted_p == few[name].adjusted_p, "networks that are tried do not weigh on the classical models"
    assert 1.2 * float(few["lstm"].adjusted_p or 0) < float(more["lstm"].adjusted_p or 0), "they weigh on each other"


def test_later_steps_keep_the_order_of_the_statistics() -> None:
    losses = losses_of({"random-walk": 0.0, "a": 0.08, "b": 0.04, "c": 0.0}, 500)
    found = adjusted_p_values(losses, dict.fromkeys("abc", ("random-walk",)), horizon=1, seed=3)
    assert found["a"] <= found["b"] <= found["c"]
    assert found["a"] < 1e-4  # below 1 / draws: Holm's bound
    assert found["c"] > 0.3


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_cannot_be_compared_is_not_better(broken: float) -> None:
    losses = losses_of({"random-walk": 0.0, "a": 0.08, "b": 0.08}, 300)
    clean = adjusted_p_values(losses, {"b": ("random-walk",)}, horizon=1, seed=3)["b"]
    losses["a"][7] = broken
    losses["same"] = losses["random-walk"].copy()
    losses["shifted"] = losses["random-walk"] - 0.5  # zero variance
    found = adjusted_p_values(losses, dict.fromkeys(("a", "b", "same", "shifted"), ("random-walk",)), horizon=1, seed=3)
    assert (found["a"], found["same"], found["shifted"]) == (1.0, 1.0, 1.0)
    assert found["b"] == clean


def test_the_answer_does_not_hang_on_the_order_of_the_names() -> None:
    losses = losses_of({"random-walk": 0.0, "a": 0.02, "b": 0.03, "c": 0.01}, 300)
    forth = adjusted_p_values(losses, dict.fromkeys("abc", ("random-walk",)), horizon=1, seed=3)
    back = adjusted_p_values(losses, dict.fromkeys("cba", ("random-walk",)), horizon=1, seed=3)
    assert forth == {name: back[name] for name in forth}


def test_agrees_with_the_stepwise_test_over_one_benchmark() -> None:
    """Another implementation, another variance estimate: they may differ only near the level."""
    agreed = 0
    for seed in range(12):
        effects = {"random-walk": 0.0, "a": 0.08, "b": 0.06, "c": 0.0, "d": -0.02}
        losses = losses_of(effects, 400, seed=seed)
        names = ("a", "b", "c", "d")
        mine = adjusted_p_values(losses, dict.fromkeys(names, ("random-walk",)), horizon=1, seed=seed, replications=1999)
        theirs = stepwise_superior(losses["random-walk"], {n: losses[n] for n in names}, level=0.05, block=8, replications=1999, seed=seed)
        agreed += {n for n in names if mine[n] <= 0.05} == set(theirs)
    assert agreed >= 10


def false_rejections(make, runs: int, level: float, horizon: int) -> float:
    hits = 0
    for run in range(runs):
        losses, challengers = make(np.random.default_rng(run))
        found = adjusted_p_values(losses, challengers, horizon=horizon, seed=run, replications=499)
        hits += min(found.values()) <= level
    return hits / runs


@pytest.mark.slow
@pytest.mark.parametrize(("horizon", "dates"), [(1, 500), (5, 600), (20, 600)])
def test_five_percent_is_five_percent(horizon: int, dates: int) -> None:
    """Six challengers exactly as good as the reference, with errors that overlap as the horizon makes them."""

    def make(generator: np.random.Generator):
        base = generator.normal(size=dates) * 0.5
        common = generator.normal(size=dates + horizon)
        losses = {"random-walk": base, "ridge": base + 0.5 + generator.normal(size=dates)}
        for number in range(6):
            shock = common + generator.normal(size=dates + horizon)
            losses[f"n{number}"] = base + np.convolve(shock, np.ones(horizon), "valid")[:dates]
        return losses, {f"n{number}": ("random-walk", "ridge") for number in range(6)}

    # 400 runs: three standard errors of 5 % are 3.3 %
    assert 0.017 <= false_rejections(make, 400, 0.05, horizon) <= 0.083


@pytest.mark.slow
def test_two_equally_good_baselines_do_not_raise_the_error() -> None:
    """Half of the challengers move with one baseline, half with the other, and all are exactly as good as both."""

    def make(generator: np.random.Generator):
        noise = generator.normal(size=(8, 500)) * 0.3
        # a date is good for the one half of the models or for the other
        swing = np.where(generator.random(500) < 0.5, 1.0, -1.0) * 0.3
        losses = {"one": 2.0 + swing + noise[0], "two": 2.0 - swing + noise[1]}
        losses.update({f"a{number}": 2.0 + swing + noise[2 + number] for number in range(3)})
        losses.update({f"b{number}": 2.0 - swing + noise[5 + number] for number in range(3)})
        return losses, {name: ("one", "two") for name in losses if name[0] in "ab"}

    assert false_rejections(make, 400, 0.05, 1) <= 0.07


@pytest.mark.slow
def test_a_baseline_that_deserves_it_does_not_raise_the_error_of_the_candidates() -> None:
    """Ridge is truly better than the reference; three candidates are exactly as good as ridge, and may not pass with it."""

    def make(generator: np.random.Generator):
        noise = generator.normal(size=(5, 500)) * 0.3
        losses = {"random-walk": 2.2 + noise[0], "ridge": 2.0 + noise[1]}
        losses.update({f"n{number}": 2.0 + noise[2 + number] for number in range(3)})
        return losses, {f"n{number}": ("random-walk", "ridge") for number in range(3)}

    assert false_rejections(make, 400, 0.05, 1) <= 0.083


def test_independent_challengers_have_each_their_own_variance_and_copies_share_theirs() -> None:
    """The largest of forty independent t statistics, exactly: a variance that is common to all would make it too small."""
    terms = cosine_terms(60, 1)
    beyond = float(student.isf(1 - 0.95 ** (1 / 40), terms))
    columns = np.random.default_rng(5).standard_normal((60, 40))
    independent = _null_statistics(columns, 1, 3, 20_000)
    assert (independent.max(axis=1) > beyond).mean() == pytest.approx(0.05, abs=0.012)
    copies = _null_statistics(np.repeat(columns[:, :1], 40, axis=1), 1, 3, 20_000)
    assert (copies.max(axis=1) > float(student.isf(0.05, terms))).mean() == pytest.approx(0.05, abs=0.012)
