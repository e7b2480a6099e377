"""The gate: each rule of the design as a test, with losses whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from finflow.pipelines.core.errors import FitError
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.training.gate import ChampionState, History, Refresh, decide
from finflow.pipelines.training.spending import level_to_spend
from tests.support.pipelines.evaluation_support import evaluation_of, losses_of

GATE = Gate(loss="mae")
FIRST = History(challenges=0, new_dates=500)
NOTHING = {"random-walk": 0.0, "historical-mean": -0.01, "ridge": -0.02, "lstm": -0.03, "dense": -0.05}
AS_OF = "2015-12-31T22:00:00+00:00"


def champion(name: str, entry: str | None = None, as_of: str = AS_OF) -> ChampionState:
    return ChampionState(candidate=name, version=3, effective_as_of=as_of, entry=entry or name)


def test_the_levels_of_a_life_add_up_to_the_level() -> None:
    assert level_to_spend(0.05, 0) == pytest.approx(0.05 * 6 / math.pi**2)
    assert level_to_spend(0.05, 3) == pytest.approx(level_to_spend(0.05, 0) / 16)
    assert sum(level_to_spend(0.05, number) for number in range(100_000)) == pytest.approx(0.05, rel=1e-4)


def test_no_skill_promotes_the_reference_and_says_so() -> None:
    decision = decide(evaluation_of(losses_of(NOTHING, 500)), GATE, None, FIRST)
    assert (decision.verdict, decision.candidate, decision.promoted) == ("reference", "random-walk", True)
    assert "No skill over random-walk" in decision.reason
    assert (decision.challenge, decision.level) == (1, pytest.approx(0.0304, abs=1e-4))
    assert decision.evidence["entry"] == "random-walk"
    assert set(decision.evidence["challengers"]) == {"historical-mean", "ridge", "lstm", "dense"}


def test_a_candidate_that_beats_every_baseline_is_promoted() -> None:
    decision = decide(evaluation_of(losses_of({**NOTHING, "lstm": 0.10}, 500)), GATE, None, FIRST)
    assert (decision.verdict, decision.candidate, decision.promoted) == ("promoted", "lstm", True)
    for beaten in ("random-walk", "historical-mean", "ridge"):
        assert beaten in decision.reason


def test_a_candidate_that_beats_the_reference_but_not_every_baseline_is_not() -> None:
    decision = decide(evaluation_of(losses_of({**NOTHING, "ridge": 0.10, "lstm": 0.10}, 500)), GATE, None, FIRST)
    assert (decision.verdict, decision.candidate) == ("promoted", "ridge")
    assert "No skill over ridge: no candidate beat every baseline" in decision.reason
    assert decision.evidence["challengers"]["lstm"].startswith("not better than ridge")


def test_among_those_that_pass_a_candidate_goes_first_and_then_the_lowest_loss() -> None:
    losses = losses_of({**NOTHING, "ridge": 0.08, "lstm": 0.20, "dense": 0.21}, 500)
    decision = decide(evaluation_of(losses), GATE, None, FIRST)
    assert decision.candidate == "dense"
    assert "lstm, ridge passed too" in decision.reason


def test_a_significant_but_tiny_effect_is_not_worth_a_change() -> None:
    losses = losses_of({**NOTHING, "lstm": 0.004}, 500, noise=0.005)
    evaluation = evaluation_of(losses)
    assert "lstm" in evaluation.superior
    decision = decide(evaluation, GATE, None, FIRST)
    assert decision.verdict == "reference"
    assert "lstm: better than random-walk by too little" in decision.reason
    assert decide(evaluation, GATE.model_copy(update={"minimum_effect": 0.003}), None, FIRST).candidate == "lstm"


def test_five_lucky_dates_do_not_win_it() -> None:
    losses = losses_of({"random-walk": 0.0, "lstm": 0.0}, 500, noise=0.01)
    losses["lstm"] = losses["random-walk"] + 0.002 + 0.01 * np.random.default_rng(1).normal(size=500)
    # five disasters of the reference that its challenger was spared, spread as a test likes it
    losses["random-walk"][50::100] += 2.0
    evaluation = evaluation_of(losses)
    (closest,) = next(one for one in evaluation.candidates if one.candidate == "lstm").comparisons
    assert (closest.p_value or 1.0) < 0.03, "the test alone would let it pass"
    decision = decide(evaluation, GATE, None, FIRST)
    assert decision.candidate == "random-walk"
    words = decision.evidence["challengers"]["lstm"]
    assert words.startswith("better than random-walk only by its 5 best of 500 dates: they make 1")
    assert " % of the effect, without them loss +0." in words
    losses["lstm"] -= 0.004
    decision = decide(evaluation_of(losses), GATE, None, FIRST)
    assert decision.candidate == "lstm", "better on ordinary dates, too"


def test_the_level_shrinks_with_the_challenges() -> None:
    evaluation = evaluation_of(losses_of({"random-walk": 0.0, "lstm": 0.05}, 500, noise=0.45))
    adjusted = {one.candidate: one.adjusted_p for one in evaluation.candidates}["lstm"]
    assert adjusted is not None
    assert 0.001 < adjusted < 0.03
    assert decide(evaluation, GATE, None, FIRST).candidate == "lstm"
    later = decide(evaluation, GATE, None, History(challenges=9, new_dates=500))
    assert (later.candidate, later.challenge) == ("random-walk", 10)


def test_too_few_dates_decide_nothing_and_spend_nothing() -> None:
    decision = decide(evaluation_of(losses_of({**NOTHING, "lstm": 0.3}, 200)), GATE, None, FIRST)
    assert (decision.verdict, decision.candidate, decision.level, decision.challenge) == ("reference", "random-walk", 0.0, 0)
    assert "200 test dates" in decision.reason
    assert "250" in decision.reason


def test_a_challenge_waits_for_new_dates() -> None:
    evaluation = evaluation_of(losses_of({**NOTHING, "lstm": 0.1}, 500), champion="random-walk")
    state = champion("random-walk")
    waiting = decide(evaluation, GATE, state, History(challenges=1, new_dates=59))
    assert (waiting.verdict, waiting.promoted, waiting.challenge, waiting.level) == ("kept", False, 0, 0.0)
    assert "441 dates, seen once before: nothing is decided on them; 59 sealed, the next challenge opens at 60" in waiting.reason
    decided = decide(evaluation, GATE, state, History(challenges=1, new_dates=60))
    assert (decided.verdict, decided.candidate, decided.challenge) == ("promoted", "lstm", 2)
    assert decided.level == pytest.approx(level_to_spend(0.05, 1))


def test_the_champions_recipe_must_be_beaten_too() -> None:
    losses = losses_of({**NOTHING, "lstm": 0.10, "dense": 0.10}, 500)
    kept = decide(evaluation_of(losses, champion="lstm"), GATE, champion("lstm"), FIRST)
    assert (kept.verdict, kept.candidate, kept.promoted) == ("kept", "lstm", False)
    better = losses_of({**NOTHING, "lstm": 0.10, "dense": 0.20}, 500)
    assert decide(evaluation_of(better, champion="lstm"), GATE, champion("lstm"), FIRST).candidate == "dense"


def test_a_recipe_that_left_the_definition_competes_under_its_own_entry() -> None:
    losses = losses_of({**NOTHING, "champion": 0.10}, 500)
    history = History(challenges=0, new_dates=500, since_champion=30)
    decision = decide(evaluation_of(losses, champion="champion"), GATE, champion("old-lstm", "champion"), history)
    assert (decision.verdict, decision.candidate, decision.evidence["entry"]) == ("refreshed", "old-lstm", "champion")


def test_a_baseline_champion_is_replaced_by_a_better_baseline_or_by_the_reference() -> None:
    losses = losses_of({"random-walk": 0.0, "ridge": 0.05, "historical-mean": 0.15, "lstm": 0.0}, 500)
    assert decide(evaluation_of(losses, champion="ridge"), GATE, champion("ridge"), FIRST).candidate == "historical-mean"
    losses = losses_of({"random-walk": 0.0, "ridge": -0.10, "historical-mean": 0.005, "lstm": -0.1}, 500)
    back = decide(evaluation_of(losses, champion="ridge"), GATE, champion("ridge"), FIRST)
    assert (back.verdict, back.candidate) == ("promoted", "random-walk")


def test_a_network_champion_is_demoted_by_a_baseline_that_beats_it() -> None:
    losses = losses_of({**NOTHING, "lstm": -0.15}, 500)
    decision = decide(evaluation_of(losses, champion="lstm"), GATE, champion("lstm"), History(challenges=4, new_dates=1))
    assert (decision.verdict, decision.candidate, decision.promoted) == ("demoted", "random-walk", True)
    assert decision.challenge == 0
    assert "random-walk beats it" in decision.reason
    losses = losses_of({**NOTHING, "ridge": 0.10, "lstm": 0.0}, 500)
    decision = decide(evaluation_of(losses, champion="lstm"), GATE, champion("lstm"), FIRST)
    assert (decision.verdict, decision.candidate, decision.challenge) == ("promoted", "ridge", 1), "it beats the reference and the champion"
    decision = decide(evaluation_of(losses, champion="lstm"), GATE, champion("lstm"), History(challenges=4, new_dates=1))
    assert (decision.verdict, decision.candidate, decision.level) == ("demoted", "random-walk", 0.0), "what spends nothing brings nobody in"
    assert decision.reason.startswith("lstm is demoted: ridge beats it")


def test_a_failed_check_demotes_to_the_reference() -> None:
    losses = losses_of({**NOTHING, "lstm": 0.1}, 500)
    evaluation = evaluation_of(losses, champion="lstm")
    decision = decide(evaluation, GATE, replace(champion("lstm"), failed_check="its golden batch no longer comes out"), FIRST)
    assert (decision.verdict, decision.candidate, decision.promoted) == ("demoted", "random-walk", True)
    assert "golden batch" in decision.reason


def test_an_earlier_as_of_never_moves_the_champion() -> None:
    losses = losses_of({**NOTHING, "lstm": 0.3}, 500)
    evaluation = evaluation_of(losses, champion="random-walk", as_of="2015-12-30T22:00:00+00:00")
    decision = decide(evaluation, GATE, replace(champion("random-walk"), failed_check="anything"), FIRST)
    assert (decision.verdict, decision.promoted, decision.candidate, decision.level) == ("historical", False, "random-walk", 0.0)
    same = decide(replace(evaluation, as_of=AS_OF), GATE, champion("random-walk"), FIRST)
    assert same.verdict == "promoted"


@pytest.mark.parametrize(
    ("refresh", "since", "verdict"),
    [
        (None, 20, "refreshed"),
        (None, 19, "kept"),
        (Refresh(20, 0.01), 500, "refreshed"),
        (Refresh(20, -0.004), 500, "refreshed"),
        (Refresh(20, -0.006), 500, "kept"),
        (Refresh(19, 0.5), 500, "kept"),
        (Refresh(40, None), 500, "kept"),
    ],
)
def test_a_refresh_is_promoted_when_not_worse_by_more_than_the_minimum_effect(refresh: Refresh | None, since: int, verdict: str) -> None:
    evaluation = evaluation_of(losses_of(NOTHING, 500), champion="random-walk")
    history = History(challenges=1, new_dates=10, since_champion=since)
    decision = decide(evaluation, GATE, replace(champion("random-walk"), refresh=refresh), history)
    assert (decision.verdict, decision.candidate, decision.promoted) == (verdict, "random-walk", verdict == "refreshed")
    assert (decision.challenge, decision.level) == (0, 0.0)


def test_a_champion_that_was_not_compared_stays() -> None:
    evaluation = evaluation_of(losses_of({**NOTHING, "lstm": 0.3}, 500))
    decision = decide(evaluation, GATE, ChampionState("gan", 2, AS_OF, None), FIRST)
    assert (decision.verdict, decision.promoted, decision.candidate, decision.challenge) == ("kept", False, "gan", 0)
    assert "Train again" in decision.reason


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_an_invalid_candidate_is_never_promoted(broken: float) -> None:
    losses = losses_of({**NOTHING, "lstm": 0.5, "dense": 0.1}, 500)
    losses["lstm"] = np.full(500, broken)
    decision = decide(evaluation_of(losses, invalid={"lstm": "its predictions are not finite"}), GATE, None, FIRST)
    assert decision.candidate == "dense"
    assert decision.evidence["challengers"]["lstm"] == "cannot be compared: its predictions are not finite"


def test_zero_variance_and_zero_losses_are_not_beaten() -> None:
    losses = losses_of(NOTHING, 500)
    losses["lstm"] = losses["random-walk"] - 0.5
    assert decide(evaluation_of(losses), GATE, None, FIRST).candidate == "random-walk"
    nothing = {name: np.zeros(500) for name in NOTHING}
    assert decide(evaluation_of(nothing), GATE, None, FIRST).candidate == "random-walk"


def test_an_invalid_baseline_cannot_be_beaten() -> None:
    losses = losses_of({**NOTHING, "lstm": 0.3}, 500)
    decision = decide(evaluation_of(losses, invalid={"ridge": "infinite"}), GATE, None, FIRST)
    assert decision.candidate == "random-walk"


def test_nothing_is_decided_without_the_reference() -> None:
    losses = losses_of(NOTHING, 500)
    with pytest.raises(FitError, match="random-walk"):
        decide(evaluation_of(losses, invalid={"random-walk": "infinite"}), GATE, None, FIRST)


def test_the_same_input_gives_the_same_decision() -> None:
    evaluation = evaluation_of(losses_of({**NOTHING, "lstm": 0.1}, 500))
    assert decide(evaluation, GATE, None, FIRST) == decide(evaluation, GATE, None, FIRST)
