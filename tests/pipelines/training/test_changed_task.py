"""A definition that asks otherwise than its champion was made for: said in scoring, seen in training, settled at once by the gate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from finflow.models.base import Task
from finflow.pipelines.core.errors import OutdatedError, RegistryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.features.kinds import FEATURES
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.lake.promotions import Promotions
from finflow.pipelines.operating.approval import approve
from finflow.pipelines.registry.served import ServedModel
from finflow.pipelines.registry.task_signature import changed_task, task_signature
from finflow.pipelines.samples.windows import task_of
from finflow.pipelines.scoring.score import score
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.tracking.store import prepare_store, store_client
from finflow.pipelines.training.gate import ChampionState, History, decide
from tests.support import tiny_values
from tests.support.patching import replace_everywhere
from tests.support.pipelines.evaluation_support import evaluation_of, losses_of
from tests.support.pipelines.training_support import train_as_of

AS_OF, BEFORE = "2017-06-30", "2017-03-31"
PLAIN: dict[str, Any] = {
    "candidates": {"ridge": {"model": "ridge"}},
    "baselines": {"random-walk": {"model": "random_walk"}, "historical-mean": {"model": "historical_mean"}},
}
LEVELS = {"kind": "forecast", "column": "close", "levels": [0.1, 0.5, 0.9]}


def defined(**changes: Any) -> Definition:
    return parse_definition(tiny_values(**{**PLAIN, **changes}))


def champion_alias(home: Home) -> int:
    return int(store_client(home).get_model_version_by_alias("tiny", "champion").version)


def test_changed_quantiles_are_said_in_scoring_and_settled_by_the_next_training(home: Home) -> None:
    prepare_store(home)
    first, changed = defined(), defined(problem=LEVELS)
    assert train_as_of(first, home)["decision"]["verdict"] == "reference"
    assert score(open_context(first, home), AS_OF).version == 1

    said = r"version 1 of tiny was trained for another task \(problem\.levels was \[0\.05, .*\], is \[0\.1, 0\.5, 0\.9\]\)"
    with pytest.raises(RegistryError, match=rf"^{said}: restore the definition, or train again.*: finflow train tiny$"):
        score(open_context(changed, home), AS_OF)
    past = train_as_of(changed, home, BEFORE)["decision"]
    assert (past["verdict"], past["champion"]["version"], champion_alias(home)) == ("historical", 1, 1)

    made = train_as_of(changed, home)["decision"]
    assert (made["verdict"], made["version"], champion_alias(home)) == ("refreshed", 2, 2)
    assert made["reason"].startswith("What is asked has changed since its version was made (problem.levels was [0.05, ")
    scored = score(open_context(changed, home), AS_OF)
    assert (scored.version, scored.written) == (2, 4)
    rows = Predictions(Lake(home.lake), "tiny").read(pd.Timestamp(AS_OF), pd.Timestamp(AS_OF))
    assert rows.loc[rows["version"] == 2, ["q10", "q50", "q90"]].notna().all(axis=None)

    decided = Promotions(Lake(home.lake), "tiny").rows()
    assert train_as_of(changed, home)["decision"] == made, "the same run is not decided again"
    assert Promotions(Lake(home.lake), "tiny").rows() == decided
    assert decided[-1].evidence["changed"].startswith("problem.levels")
    with pytest.raises(RegistryError, match=r"version 2 .*problem\.levels was \[0\.1, 0\.5, 0\.9\], is"):
        score(open_context(first, home), AS_OF)


def mend(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Another formula of `log_range`, as if it stood in the sources: their digest is another one too."""
    kind = FEATURES["log_range"]
    monkeypatch.setitem(FEATURES, "log_range", replace(kind, function=lambda panel, feature: factor * kind.function(panel, feature)))
    replace_everywhere(monkeypatch, "finflow.pipelines.core.code.sample_code_digest", lambda problem: f"mended by {factor}")


def test_a_mended_formula_is_said_in_scoring_and_settled_by_the_next_training(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_store(home)
    made = defined()
    assert train_as_of(made, home)["decision"]["verdict"] == "reference"
    assert score(open_context(made, home), AS_OF).version == 1
    mend(monkeypatch, 2)
    with pytest.raises(
        OutdatedError, match=r"^version 1 of tiny is refused: its features .*: log_range \(in .*Train again \(finflow train tiny\)"
    ):
        score(open_context(made, home), AS_OF)
    again = train_as_of(made, home)["decision"]
    assert (again["verdict"], again["version"], champion_alias(home)) == ("refreshed", 2, 2), "its recipe is fitted anew; nobody is demoted"
    said = "What is asked has changed since its version was made (its features come out otherwise: log_range (in "
    assert again["reason"].startswith(said)
    assert score(open_context(made, home), AS_OF).version == 2


def test_what_waits_with_other_features_answers_no_more(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_store(home)
    made = defined(gate={"loss": "mae", "minimum_dates": 50, "approval": "required"})
    train_as_of(made, home, None)
    approve(open_context(made, home), 1, "Ann", "it looks right")
    mend(monkeypatch, 2)
    assert train_as_of(made, home, None)["waiting"]["version"] == 2
    mend(monkeypatch, 3)
    with pytest.raises(OutdatedError, match="version 2 of tiny is refused: its features no longer come out"):
        approve(open_context(made, home), 2, "Ann", "it looks right")
    assert train_as_of(made, home, None)["waiting"]["version"] == 3, "version 2 does not keep it from being asked anew"


def test_where_a_person_is_asked_the_refitted_champion_waits_once(home: Home) -> None:
    prepare_store(home)
    gate = {"loss": "mae", "minimum_dates": 50, "approval": "required"}
    first, changed = defined(gate=gate), defined(gate=gate, window={"length": 8, "horizon": 2})
    assert train_as_of(first, home, None)["waiting"]["version"] == 1
    with pytest.raises(RegistryError, match=r"version 1 of tiny was trained for another task \(window\.length was 10, is 8\)"):
        approve(open_context(changed, home), 1, "Ann", "it looks right")
    approve(open_context(first, home), 1, "Ann", "it looks right")

    asked = train_as_of(changed, home, None)
    assert (asked["decision"]["verdict"], asked["waiting"]["proposed"], asked["waiting"]["version"]) == ("pending", "refreshed", 2)
    assert champion_alias(home) == 1
    with pytest.raises(RegistryError, match=r"window\.length was 10, is 8.* approve version 2, which answers it: finflow approve tiny 2"):
        score(open_context(changed, home))
    later = train_as_of(changed.model_copy(update={"seed": 2}), home, None)
    assert (later["decision"]["verdict"], later["waiting"]["version"]) == ("kept", 2), "nobody is asked twice"
    approve(open_context(changed, home), 2, "Ann", "the shorter window is wanted")
    assert score(open_context(changed, home)).version == 2


def test_a_champion_whose_recipe_cannot_answer_what_is_asked_now_goes(home: Home) -> None:
    prepare_store(home)
    train_as_of(defined(), home)
    classes = defined(
        problem={"kind": "classify", "column": "close"},
        candidates={"logistic": {"model": "logistic"}},
        baselines={"base-rate": {"model": "class_frequency"}},
        reference="base-rate",
        gate={"loss": "log_loss", "minimum_dates": 50},
    )
    made = train_as_of(classes, home)["decision"]
    assert (made["verdict"], made["champion"]["candidate"], champion_alias(home)) == ("demoted", "base-rate", 2)
    assert "random-walk is demoted: a check failed: what is asked has changed (problem.kind was forecast, is classify)" in made["reason"]
    assert "its recipe cannot be fitted for it: champion, fold" in made["reason"]
    assert score(open_context(classes, home), AS_OF).version == 2


def served_for(definition: Definition, **manifest: Any) -> ServedModel:
    labels = tuple(feature.label for feature in definition.features)
    task: Task = task_of(definition, labels)
    return ServedModel(None, task, definition.name, 1, "digest", manifest)  # type: ignore[arg-type]


def risk(**changes: Any) -> Definition:
    problem = {"kind": "risk", "weights": {"S1": 0.6, "S2": 0.4}, **changes}
    return defined(problem=problem, window={"length": 10, "horizon": 1}, gate={"loss": "fz0_97_5"})


def labelled(**changes: Any) -> Definition:
    return defined(
        problem={"kind": "classify", "label": "triple_barrier", **changes},
        candidates={"logistic": {"model": "logistic"}},
        baselines={"base-rate": {"model": "class_frequency"}},
        reference="base-rate",
        gate={"loss": "log_loss"},
    )


RANGE = {"kind": "log_range", "name": "log_range"}
RETURN = {"kind": "log_return", "column": "close", "name": "log_return"}


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (defined(), defined(title="Another title", seed=7, schedule={"score": "0 23 * * *"}), None),
        (defined(), defined(window={"length": 20, "horizon": 2}), "window.length was 10, is 20"),
        (defined(), defined(window={"length": 10, "horizon": 5}), "window.horizon was 2, is 5"),
        (risk(), risk(weights={"S1": 0.5, "S2": 0.5}), "problem.weights was {'S1': 0.6, 'S2': 0.4}, is {'S1': 0.5, 'S2': 0.5}"),
        (labelled(), labelled(upper=2.0), "problem.upper was 1.0, is 2.0"),
        (labelled(), labelled(label="sign"), "problem.label was triple_barrier, is sign"),
        (defined(), defined(features=[RETURN, {**RANGE, "shift": 1}]), "feature log_range: shift was 0, is 1"),
        (defined(), defined(features=[RETURN]), "feature log_range is no more"),
        (defined(features=[RETURN]), defined(features=[RETURN, RANGE]), "feature log_range is new"),
        (defined(), defined(features=[RANGE, RETURN]), "the features stand in another order"),
    ],
)
def test_every_part_of_what_is_asked_is_compared(then: Definition, now: Definition, said: str | None) -> None:
    assert changed_task(now, served_for(then, asked=task_signature(then))) == said


def test_what_an_earlier_release_recorded_is_no_change() -> None:
    definition = defined()
    recorded = task_signature(definition)
    del recorded["window"]["maximum_gap"]  # as if this release had added it
    assert changed_task(definition, served_for(definition, asked=recorded)) is None
    assert changed_task(definition, served_for(definition)) is None
    assert changed_task(defined(problem=LEVELS), served_for(definition)) == "levels was (0.05, 0.25, 0.5, 0.75, 0.95), is (0.1, 0.5, 0.9)"


EFFECTS = {"random-walk": 0.0, "historical-mean": -0.01, "ridge": -0.02, "lstm": -0.03}
CHAMPION = ChampionState("random-walk", 1, "2016-01-01T22:00:00+00:00", "random-walk")


@pytest.mark.parametrize(
    ("history", "verdict", "words"),
    [
        (History(1, 0), "pending", "What is asked has changed since its version was made (window.length was 10, is 8)"),
        (History(1, 0, since_proposal=0, waiting=4, waiting_as="promoted"), "kept", "version 4 waits for a person"),
        (History(1, 0, since_proposal=0), "kept", "0 test dates since the last version was made that a person was asked about"),
        (
            History(1, 0, since_proposal=0, waiting=4, waiting_as="promoted", proposal_answers=False),
            "pending",
            "takes the place of version 4",
        ),
    ],
)
def test_the_gate_asks_a_person_once_for_each_task(history: History, verdict: str, words: str) -> None:
    evaluation = evaluation_of(losses_of(EFFECTS, 500), champion="random-walk")
    decision = decide(evaluation, Gate(loss="mae", approval="required"), replace(CHAMPION, changed="window.length was 10, is 8"), history)
    assert decision.verdict == verdict
    assert words in decision.reason
