"""Checks at the gate: who fails one is not promoted, and does not stay if another may stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finflow.pipelines.core.manifests import Check, Evaluation
from finflow.pipelines.evaluation.comparisons import compare
from finflow.pipelines.evaluation.store import evaluation_from_dict
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.training.gate import ChampionState, History, decide
from finflow.pipelines.training.gate_words import percent
from tests.support.pipelines.evaluation_support import evaluation_of, losses_of

GATE = Gate(loss="mae", backtests=("traffic_light",))
FIRST = History(challenges=0, new_dates=500)
LATER = History(challenges=1, new_dates=100, since_champion=100)
NOTHING = {"random-walk": 0.0, "historical-mean": -0.01, "ridge": -0.02, "lstm": -0.03, "dense": -0.05}
AS_OF = "2015-12-31T22:00:00+00:00"


def with_checks(evaluation: Evaluation, *failing: str) -> Evaluation:
    """Everybody was checked, and these are red."""

    def light(name: str) -> Check:
        red = name in failing
        return Check("traffic_light", not red, f"{'red' if red else 'green'} zone of {name}", {"worst_exceptions": 12.0 if red else 2.0})

    return replace(evaluation, candidates=tuple(replace(one, checks=(light(one.candidate),)) for one in evaluation.candidates))


def champion(name: str) -> ChampionState:
    return ChampionState(candidate=name, version=3, effective_as_of=AS_OF, entry=name)


def test_the_best_candidate_in_the_red_zone_is_not_promoted() -> None:
    evaluation = evaluation_of(losses_of({**NOTHING, "lstm": 0.10}, 500))
    assert decide(with_checks(evaluation), GATE, None, FIRST).candidate == "lstm"
    decision = decide(with_checks(evaluation, "lstm"), GATE, None, FIRST)
    assert (decision.verdict, decision.candidate) == ("reference", "random-walk")
    assert "lstm: beats random-walk" in decision.reason
    assert "but fails: red zone of lstm" in decision.reason
    assert decision.evidence["checks"]["lstm"] == {"traffic_light": False}


def test_the_next_best_that_passes_is_promoted() -> None:
    evaluation = evaluation_of(losses_of({**NOTHING, "lstm": 0.20, "dense": 0.21}, 500))
    assert decide(with_checks(evaluation, "dense"), GATE, None, FIRST).candidate == "lstm"


def test_a_reference_that_fails_is_stood_in_for_by_the_best_baseline_that_passes() -> None:
    evaluation = evaluation_of(losses_of({**NOTHING, "historical-mean": 0.001}, 500))
    decision = decide(with_checks(evaluation, "random-walk"), GATE, None, FIRST)
    assert (decision.verdict, decision.candidate, decision.promoted) == ("reference", "historical-mean", True)
    assert decision.evidence["entry"] == "historical-mean"
    assert "random-walk, the reference, may not stand, for it fails: red zone of random-walk" in decision.reason
    next_one = decide(with_checks(evaluation, "random-walk", "historical-mean"), GATE, None, FIRST)
    assert next_one.candidate == "ridge"


def test_where_no_baseline_passes_nothing_is_promoted() -> None:
    evaluation = with_checks(evaluation_of(losses_of(NOTHING, 500)), "random-walk", "historical-mean", "ridge", "lstm", "dense")
    decision = decide(evaluation, GATE, None, FIRST)
    assert (decision.verdict, decision.candidate, decision.promoted) == ("refused", "", False)
    assert "no baseline passes its checks" in decision.reason


def test_a_candidate_with_skill_that_passes_is_promoted_though_no_baseline_does() -> None:
    evaluation = evaluation_of(losses_of({**NOTHING, "lstm": 0.10}, 500))
    decision = decide(with_checks(evaluation, "random-walk", "historical-mean", "ridge"), GATE, None, FIRST)
    assert (decision.verdict, decision.candidate) == ("promoted", "lstm")


@pytest.mark.parametrize("name", ["lstm", "ridge"])
def test_a_champion_that_fails_goes(name: str) -> None:
    evaluation = evaluation_of(losses_of({**NOTHING, name: 0.02}, 500), champion=name)
    decision = decide(with_checks(evaluation, name), GATE, champion(name), LATER)
    assert (decision.verdict, decision.candidate, decision.promoted) == ("demoted", "random-walk", True)
    assert f"{name} is demoted: it fails: red zone of {name}" in decision.reason


def test_a_champion_that_fails_stays_unrefreshed_where_nobody_else_passes() -> None:
    evaluation = evaluation_of(losses_of(NOTHING, 500), champion="lstm")
    every = with_checks(evaluation, *NOTHING)
    decision = decide(every, GATE, champion("lstm"), LATER)
    assert (decision.verdict, decision.candidate, decision.promoted) == ("kept", "lstm", False)
    assert "no baseline passes its checks either" in decision.reason


def test_a_demoted_champion_is_not_followed_by_one_that_fails() -> None:
    losses = losses_of({**NOTHING, "lstm": -0.30}, 500)
    evaluation = evaluation_of(losses, champion="lstm")
    assert decide(with_checks(evaluation), GATE, champion("lstm"), LATER).candidate == "random-walk"
    follower = decide(with_checks(evaluation, "random-walk"), GATE, champion("lstm"), LATER)
    assert follower.verdict == "demoted"
    assert follower.candidate == "historical-mean"


def test_a_reference_that_is_champion_gives_way_to_a_baseline_that_passes() -> None:
    evaluation = evaluation_of(losses_of(NOTHING, 500), champion="random-walk")
    decision = decide(with_checks(evaluation, "random-walk"), GATE, champion("random-walk"), LATER)
    assert (decision.verdict, decision.candidate) == ("demoted", "historical-mean")


def test_checks_are_stored_with_an_evaluation() -> None:
    evaluation = with_checks(evaluation_of(losses_of(NOTHING, 100)), "ridge")
    assert evaluation_from_dict(evaluation.to_dict()) == evaluation


def test_the_effect_on_a_logarithmic_loss_is_its_difference() -> None:
    """Moving the level of both losses, as another unit does to a logarithmic score, changes nothing."""
    losses = losses_of({"random-walk": 0.0, "lstm": 0.05}, 400)
    moved = {name: values - 5.0 for name, values in losses.items()}
    plain = compare(losses, "lstm", "random-walk", 1, logarithmic=True)
    shifted = compare(moved, "lstm", "random-walk", 1, logarithmic=True)
    assert plain.effect == pytest.approx(float((losses["random-walk"] - losses["lstm"]).mean()))
    assert shifted.effect == pytest.approx(plain.effect)
    assert shifted.p_value == pytest.approx(plain.p_value)
    assert compare(moved, "lstm", "random-walk", 1).effect != pytest.approx(plain.effect)
    assert percent(0.01) == "+1.00 %"
