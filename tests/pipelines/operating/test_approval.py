"""A person has the last word: what waits, who may decide about it, and what is left of it in table, registry and words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.core.errors import DefinitionError, FinflowError, RegistryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.pending import describe_pending, fate, pending_row
from finflow.pipelines.lake.promotions import PromotionRow, Promotions, trained_as_of
from finflow.pipelines.operating.approval import approve, reject, same_person
from finflow.pipelines.operating.history import history
from finflow.pipelines.operating.rollback import rollback
from finflow.pipelines.operating.status import status
from finflow.pipelines.registry.task_signature import task_signature
from finflow.pipelines.registry.versions import load_version, repair_aliases
from finflow.pipelines.scoring.score import champion_version
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.tracking.store import store_client
from finflow.pipelines.training.gate import ChampionState, History, decide
from tests.support import REPOSITORY, tiny_values, warm
from tests.support.patching import replace_everywhere
from tests.support.pipelines.evaluation_support import evaluation_of, losses_of
from tests.support.pipelines.fit_support import AS_OF, market
from tests.support.pipelines.serving_support import Market, make_market
from tests.support.pipelines.training_support import Trained

ASKS = Gate(loss="mae", approval="required")
EFFECTS = {"random-walk": 0.0, "historical-mean": -0.01, "ridge": -0.02, "lstm": -0.03}
TRAINED_AS_OF = "2017-03-31T21:00:00+00:00"


# The gate: what waits, and what does not


@pytest.mark.parametrize(("effect", "proposed", "candidate"), [(0.0, "reference", "random-walk"), (0.2, "promoted", "lstm")])
def test_what_the_gate_accepts_waits(effect: float, proposed: str, candidate: str) -> None:
    evaluation = evaluation_of(losses_of({**EFFECTS, "lstm": effect}, 500))
    decision = decide(evaluation, ASKS, None, History(0, 500))
    asked_nobody = decide(evaluation, Gate(loss="mae"), None, History(0, 500))
    assert (decision.verdict, decision.promoted, decision.candidate) == ("pending", False, candidate)
    assert (decision.evidence["proposed"], decision.evidence["entry"]) == (proposed, candidate)
    assert (decision.challenge, decision.level) == (asked_nobody.challenge, asked_nobody.level), "the challenge is spent all the same"
    assert "nothing moves until a person approves it" in decision.reason
    assert asked_nobody.reason in decision.reason


def test_a_refresh_waits_and_a_demotion_does_not() -> None:
    champion = ChampionState("random-walk", 1, "2016-01-01T22:00:00+00:00", "random-walk")
    refreshed = decide(evaluation_of(losses_of(EFFECTS, 500), champion="random-walk"), ASKS, champion, History(1, 10, since_champion=30))
    assert (refreshed.verdict, refreshed.evidence["proposed"]) == ("pending", "refreshed")
    network = ChampionState("lstm", 1, "2016-01-01T22:00:00+00:00", "lstm")
    demoted = decide(evaluation_of(losses_of({**EFFECTS, "lstm": -0.2}, 500), champion="lstm"), ASKS, network, History(1, 10))
    assert (demoted.verdict, demoted.promoted) == ("demoted", True)


@pytest.mark.parametrize(
    ("history_", "verdict", "words"),
    [
        (History(1, 10, 30, since_proposal=30, waiting=4, waiting_as="promoted"), "kept", "No refresh: version 4 waits for a person"),
        (History(1, 10, 30, since_proposal=3, waiting=4, waiting_as="refreshed"), "kept", "3 test dates since the last version"),
        (History(1, 10, 30, since_proposal=3), "kept", "3 test dates since the last version"),  # and that one was rejected
        (History(1, 10, 30, since_proposal=20, waiting=4, waiting_as="refreshed"), "pending", "takes the place of version 4"),
    ],
)
def test_a_refresh_is_not_proposed_every_night(history_: History, verdict: str, words: str) -> None:
    champion = ChampionState("random-walk", 1, "2016-01-01T22:00:00+00:00", "random-walk")
    decision = decide(evaluation_of(losses_of(EFFECTS, 500), champion="random-walk"), ASKS, champion, history_)
    assert decision.verdict == verdict
    assert words in decision.reason


def test_four_eyes_without_approval_is_a_mistake() -> None:
    with pytest.raises(DefinitionError, match="set `approval: required` too"):
        parse_definition(tiny_values(gate={"loss": "mae", "four_eyes": True}))


# The table: who may decide about what


@pytest.fixture
def desk(home: Home, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A definition that asks for approval, a market, and a registry that only notes what it is asked."""
    asked: list[Any] = []
    market = make_market(home, gate={"loss": "mae", "approval": "required"})

    def load(context: Context, version: int) -> Any:
        asked.append(("load", version))
        return SimpleNamespace(version=version, manifest={"asked": task_signature(market.definition)})

    replace_everywhere(monkeypatch, "finflow.pipelines.registry.versions.load_version", load)
    replace_everywhere(monkeypatch, "finflow.pipelines.registry.versions.repair_aliases", lambda context: asked.append("repair"))
    return Desk(market, asked)


class Desk:
    """What the tests of a table need: rows are written as trainings would."""

    def __init__(self, market: Market, asked: list[Any]) -> None:
        self.context, self.home, self.definition, self.asked = market.context, market.home, market.definition, asked
        self.promotions = Promotions(Lake(market.home.lake), "tiny")

    def row(self, verdict: str, version: int, as_of: str = TRAINED_AS_OF, **evidence: Any) -> None:
        before = self.promotions.champion()
        row = PromotionRow(
            run_key=f"run-{len(self.promotions.rows())}",
            verdict=verdict,
            candidate=f"candidate-{version}",
            family="test",
            version=version,
            previous_version=before.version if before else None,
            effective_as_of=as_of,
            reason="it was better.",
            level=0.01,
            challenge=1,
            test_end="2017-03-31",
            evidence={"p": 0.001, **evidence},
            recipe={"model": "ridge", "settings": {}},
            manifest_digest=f"digest-{version}",
        )
        self.promotions.record(row, self.promotions.snapshot()[1])

    def approve(self, version: int, by: str = "Ann", why: str = "looks sound") -> Any:
        return approve(self.context, version, by, why)

    def reject(self, version: int, by: str = "Ann", why: str = "too early") -> Any:
        return reject(self.context, version, by, why)

    @property
    def verdicts(self) -> list[str]:
        return [row.verdict for row in self.promotions.rows()]

    def champion(self) -> int | None:
        found = self.promotions.champion()
        return None if found is None else found.version


def test_approved(desk: Desk) -> None:
    desk.row("promoted", 1)
    desk.row("pending", 2, proposed="promoted", accepted="it was better.")
    assert desk.champion() == 1
    decision = desk.approve(2, " Ann Müller ", "checked\n the   plots")
    assert (decision.verdict, decision.promoted, decision.candidate) == ("approved", True, "candidate-2")
    assert decision.reason == "approved by Ann Müller: checked the plots. candidate-2 becomes champion. it was better."
    row = desk.promotions.rows()[-1]
    assert (row.version, row.previous_version, row.manifest_digest, row.challenge, row.level) == (2, 1, "digest-2", 0, 0.0)
    assert (row.evidence["by"], row.evidence["why"], row.evidence["p"]) == ("Ann Müller", "checked the plots", 0.001)
    assert (row.recipe, row.test_end) == ({"model": "ridge", "settings": {}}, "2017-03-31")
    assert desk.champion() == 2
    assert desk.asked == [("load", 2), "repair"], "it is loaded and checked before it is recorded"
    assert describe_pending("tiny", desk.promotions.rows()) is None


def test_it_takes_effect_with_the_newest_data_and_was_trained_before(desk: Desk) -> None:
    """Dates between training and approval were answered by the champion before, and stay so."""
    desk.row("promoted", 1, "2017-01-31T22:00:00+00:00")
    desk.row("pending", 2)
    desk.approve(2)
    assert [desk.promotions.effective(date) for date in ("2017-03-31", "2017-06-29", "2017-06-30")] == [1, 1, 2]
    assert trained_as_of(desk.promotions, 2) == pd.Timestamp(TRAINED_AS_OF)


def test_rejected(desk: Desk) -> None:
    desk.row("promoted", 1)
    desk.row("pending", 2)
    decision = desk.reject(2)
    assert (decision.verdict, decision.promoted) == ("rejected", False)
    assert decision.reason == "rejected by Ann: too early. The champion stays as it is."
    assert desk.champion() == 1
    assert desk.asked == ["repair"], "a version is not loaded to be refused"
    with pytest.raises(RegistryError, match=r"version 2 of tiny was rejected by Ann on 20.*none does"):
        desk.approve(2, "Bob")
    assert desk.verdicts == ["promoted", "pending", "rejected"]


@pytest.mark.parametrize(
    ("prepare", "version", "message"),
    [
        (lambda desk: None, 2, "version 2 of tiny is not in the promotions table"),
        (lambda desk: desk.row("promoted", 1), 1, "version 1 of tiny does not wait for a person, and never did"),
        (lambda desk: (desk.row("pending", 1), desk.approve(1)), 1, "version 1 of tiny was approved by Ann on 20"),
        (
            lambda desk: (desk.row("pending", 1), desk.row("pending", 2)),
            1,
            "version 1 of tiny waits no longer: version 2 took its place on .*Of those that wait now, version 2 does",
        ),
        (
            lambda desk: (desk.row("promoted", 1), desk.row("pending", 2), desk.row("demoted", 3, "2017-04-30T21:00:00+00:00")),
            2,
            r"version 2 of tiny waits no longer: version 3 became champion on .* \(demoted, as of 2017-04-30\), and this one was accepted "
            "against the champion before, as of 2017-03-31. Train again",
        ),
    ],
    ids=["unknown", "never", "twice", "superseded", "overtaken"],
)
@pytest.mark.parametrize("decide_", [approve, reject])
def test_what_does_not_wait_is_refused(
    desk: Desk, prepare: Callable[[Desk], object], version: int, message: str, decide_: Callable[..., object]
) -> None:
    prepare(desk)
    before = desk.verdicts
    desk.asked.clear()
    with pytest.raises(RegistryError, match=message):
        decide_(desk.context, version, "Ann", "why not")
    assert desk.verdicts == before
    assert desk.asked == ["repair"], "a crash after the decision may have left the aliases behind"


def test_a_rollback_ends_the_waiting_and_works_after_an_approval(desk: Desk) -> None:
    desk.row("promoted", 1)
    desk.row("pending", 2)
    desk.approve(2)
    desk.row("pending", 3, "2017-06-30T21:00:00+00:00")
    assert rollback(desk.context, "drifts").reason.startswith("rolled back from version 2 (candidate-2) to version 1")
    assert desk.champion() == 1
    with pytest.raises(RegistryError, match="waits no longer: version 1 became champion"):
        desk.approve(3)


@pytest.mark.parametrize(
    ("by", "why", "message"),
    [
        ("", "why", "is empty"),
        ("  ", "why", "is empty"),
        ("a/b", "why", "holds one of"),
        ("Ann\u202e", "why", "control, direction"),
        ("Ann\nBob", "why", "control, direction"),
        ("Ann", " \n ", "needs a reason"),
        ("Ann", "fine\u202etxt", "control or direction character"),
        ("Ann", "\x1b[2J", "control or direction character"),
        ("Ann", "x" * 2001, "2,001 characters"),
    ],
)
def test_names_and_reasons_have_rules(desk: Desk, by: str, why: str, message: str) -> None:
    desk.row("pending", 1)
    for decide_ in (approve, reject):
        with pytest.raises(FinflowError, match=message):
            decide_(desk.context, 1, by, why)
    assert desk.verdicts == ["pending"]


def test_two_different_people(desk: Desk) -> None:
    desk.row("promoted", 1)
    desk.row("pending", 2, four_eyes=True)
    first = desk.approve(2, "Ann Lee", "tests pass")
    assert (first.verdict, first.promoted) == ("first-approval", False)
    assert desk.champion() == 1
    waiting = describe_pending("tiny", desk.promotions.rows())
    assert waiting is not None
    assert (waiting.version, waiting.people, waiting.approved_by) == (2, 2, ("Ann Lee",))
    for same in ("Ann Lee", "ann lee", "  ANN   LEE ", "Ａｎｎ Ｌｅｅ"):
        with pytest.raises(FinflowError, match=r"Ann Lee has approved version 2 of tiny already.*another has to"):
            desk.approve(2, same)
    assert desk.verdicts == ["promoted", "pending", "first-approval"]
    second = desk.approve(2, "Bob", "agreed")
    assert (second.verdict, second.promoted) == ("approved", True)
    assert second.reason.startswith("approved by Ann Lee (tests pass) and Bob: agreed.")
    assert [one["by"] for one in second.evidence["before"]] == ["Ann Lee"]
    assert desk.champion() == 2


def test_the_first_approval_is_of_one_version_and_a_rejection_needs_one_person(desk: Desk) -> None:
    desk.row("pending", 1, four_eyes=True)
    desk.approve(1, "Ann")
    desk.row("pending", 2, four_eyes=True)
    assert desk.approve(2, "Bob").verdict == "first-approval", "Ann approved another version"
    assert desk.reject(2, "Bob").verdict == "rejected"
    assert desk.champion() is None


def test_four_eyes_stay_when_the_definition_is_changed_meanwhile(desk: Desk) -> None:
    desk.row("pending", 1, four_eyes=True)
    assert not desk.definition.gate.four_eyes
    assert desk.approve(1, "Ann").verdict == "first-approval"
    desk.row("pending", 2, four_eyes=False)
    changed = desk.definition.model_copy(update={"gate": ASKS.model_copy(update={"four_eyes": True})})
    desk.definition, desk.context = changed, open_context(changed, desk.home)
    assert desk.approve(2, "Ann").verdict == "first-approval"


def test_same_person() -> None:
    assert same_person("Straße", "STRASSE")
    assert same_person("ﬁona", "Fiona")
    assert not same_person("Ann", "Anne")


def test_what_may_not_be_loaded_is_not_approved(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RegistryError("version 1 of tiny is refused: changed")

    replace_everywhere(monkeypatch, "finflow.pipelines.registry.versions.load_version", refuse)
    desk.row("pending", 1)
    with pytest.raises(RegistryError, match="is refused: changed"):
        desk.approve(1)
    assert desk.verdicts == ["pending"]


def test_a_decision_in_between_is_read_before_the_next_try(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody rejects between the reading and the writing of an approval: it is not approved after all."""
    desk.row("pending", 1)
    original = Promotions.record

    def late(self: Promotions, row: PromotionRow, expected_version: int | None) -> int:
        monkeypatch.setattr(Promotions, "record", original)
        desk.reject(1, "Bob")
        return original(self, row, expected_version)

    monkeypatch.setattr(Promotions, "record", late)
    with pytest.raises(RegistryError, match="was rejected by Bob"):
        desk.approve(1)
    assert desk.verdicts == ["pending", "rejected"]


def test_fates(desk: Desk) -> None:
    desk.row("pending", 1)
    desk.row("kept", 1)
    rows = desk.promotions.rows()
    assert fate(rows, 1) == "waits for a person"
    assert fate(rows, 2) is None
    assert pending_row(rows) == rows[0]


# The registry: a real training that waits


@pytest.fixture
def asking(trained: Trained) -> Definition:
    """The definition of the small training, with approval; its market is in the lake, so that dates can be told."""
    frame = market()
    frame["known_at"] = (frame["time"] + pd.Timedelta(hours=21)).dt.tz_localize("UTC")
    frame["period"] = frame["time"].dt.strftime("%Y")
    Lake(trained.home.lake).append("raw/tiny", frame)
    return trained.definition.model_copy(update={"gate": trained.definition.gate.model_copy(update={"approval": "required"})})


def aliases(home: Home) -> dict[str, int]:
    return {alias: int(version) for alias, version in store_client(home).get_registered_model("tiny").aliases.items()}


def told(home: Home, version: int) -> str:
    return str(store_client(home).get_model_version("tiny", str(version)).description)


def test_a_training_that_waits_and_is_approved(trained: Trained, asking: Definition) -> None:
    home = trained.home
    promotions = Promotions(Lake(home.lake), "tiny")
    first = trained.conclude("one", asking)
    assert (first.decision.verdict, first.decision.promoted) == ("pending", False)
    assert first.outcome["decision"]["champion"] == {"name": "tiny", "version": None, "candidate": None}
    assert first.outcome["waiting"]["approve"] == "finflow approve tiny 1 --by WHO --why TEXT"
    assert aliases(home) == {"pending": 1}
    assert "To approve it: finflow approve tiny 1" in told(home, 1)
    report = Path(first.outcome["report"]).with_suffix(".md").read_text(encoding="utf-8")
    assert "**PENDING.**" in report
    assert "Champion: none yet." in report
    assert "`finflow approve tiny 1 --by WHO --why TEXT`" in report
    with pytest.raises(RegistryError, match="no champion yet: version 1 waits for a person: finflow approve tiny 1"):
        champion_version(open_context(asking, home))
    with pytest.raises(RegistryError, match="no champion yet: version 1 waits"):
        rollback(open_context(asking, home), "why")
    assert load_version(open_context(asking, home), 1).version == 1, "asked for by its number, it answers"

    again = trained.conclude("one", asking)
    assert again.decision == first.decision
    assert len(promotions.rows()) == 1

    found = status(open_context(asking, home))
    assert (found["champion"], found["waiting"]["version"]) == (None, 1)
    assert history(open_context(asking, home))["waiting"]["reject"].startswith("finflow reject tiny 1")

    decision = approve(open_context(asking, home), 1, "Ann", "fine")
    assert decision.promoted
    assert aliases(home) == {"champion": 1}
    assert told(home, 1).startswith("approved on ")
    assert champion_version(open_context(asking, home)) == 1
    assert status(open_context(asking, home))["waiting"] is None
    after = trained.conclude("one", asking)
    assert (after.decision.verdict, after.outcome["waiting"]) == ("pending", None), "the run's own decision is what it was"
    assert aliases(home) == {"champion": 1}


def test_a_newer_version_takes_the_place_of_the_one_that_waits(trained: Trained, asking: Definition) -> None:
    home = trained.home
    trained.conclude("one", asking)
    second = trained.conclude("two", asking)
    assert second.decision.verdict == "pending"
    assert "takes the place of version 1, which waited" in second.decision.reason
    assert aliases(home) == {"pending": 2}
    assert "waits no longer: version 2 took its place" in told(home, 1)
    reject(open_context(asking, home), 2, "Ann", "no")
    assert aliases(home) == {}
    assert "was rejected by Ann" in told(home, 2)


@pytest.mark.parametrize("decide_", [approve, reject])
def test_a_crash_between_commit_and_alias_is_mended_by_the_next_command(
    trained: Trained, asking: Definition, decide_: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = trained.home

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        replace_everywhere(patch, "finflow.pipelines.registry.versions.repair_aliases", die)
        with pytest.raises(KeyboardInterrupt):
            trained.conclude("one", asking)
    store_client(home).get_registered_model("tiny")
    assert aliases(home) == {}
    assert trained.conclude("one", asking).decision.verdict == "pending"
    assert aliases(home) == {"pending": 1}
    with monkeypatch.context() as patch:
        replace_everywhere(patch, "finflow.pipelines.registry.versions.repair_aliases", die)
        with pytest.raises(KeyboardInterrupt):
            decide_(open_context(asking, home), 1, "Ann", "because")
    assert aliases(home) == {"pending": 1}, "it died before"
    with pytest.raises(RegistryError, match="by Ann on"):
        decide_(open_context(asking, home), 1, "Ann", "because")
    expected = {"champion": 1} if decide_ is approve else {}
    assert aliases(home) == expected
    repair_aliases(trained.context)
    assert aliases(home) == expected


def test_a_first_approval_is_told_in_the_registry(trained: Trained, asking: Definition) -> None:
    four = asking.model_copy(update={"gate": asking.gate.model_copy(update={"four_eyes": True})})
    trained.conclude("one", four)
    approve(open_context(four, trained.home), 1, "Ann", "fine")
    assert aliases(trained.home) == {"pending": 1}
    assert "Approved by Ann; one more must." in told(trained.home, 1)
    assert approve(open_context(four, trained.home), 1, "Bob", "fine too").promoted


def test_a_champion_alias_put_on_what_waits_is_refused(trained: Trained, asking: Definition) -> None:
    trained.conclude("one", asking)
    store_client(trained.home).set_registered_model_alias("tiny", "champion", "1")
    with pytest.raises(RegistryError, match="names version 1, which was never promoted; the promotions table says there is none"):
        repair_aliases(trained.context)


@pytest.mark.slow
def test_the_command_line_says_who_must_decide_and_how(trained: Trained, asking: Definition, tmp_path: Path) -> None:
    """The real commands, over the real state."""
    import yaml

    trained.conclude("one", asking)
    path = tmp_path / "tiny.yaml"
    known = {**asking.model_dump(mode="json"), "candidates": {"dense": {"model": "dense"}}}  # other processes do not know the test's model
    path.write_text(yaml.safe_dump(known), encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return warm.run([sys.executable, "-m", "finflow.flows", *arguments], cwd=REPOSITORY, timeout=120)

    shown = run("history", str(path))
    assert "pending" in shown.stdout
    assert "finflow approve tiny 1 --by WHO --why TEXT" in shown.stdout
    refused = run("approve", str(path), "7", "--by", "Ann", "--why", "fine")
    assert refused.returncode == 1
    assert "version 7 of tiny is not in the promotions table" in refused.stderr
    done = run("approve", str(path), "1", "--by", "Ann", "--why", "fine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("decision: APPROVED. approved by Ann: fine.")
    again = run("reject", str(path), "1", "--by", "Bob", "--why", "no")
    assert again.returncode == 1
    assert "version 1 of tiny was approved by Ann" in again.stderr
    assert AS_OF[:10] in run("status", str(path)).stdout
