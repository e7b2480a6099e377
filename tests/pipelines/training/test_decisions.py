"""From an evaluation to a recorded decision: repeats, changes of champion in between, refreshes against frozen weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.errors import ConflictError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest, Dealt, Fold, RawManifest
from finflow.pipelines.core.sight import Sight
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import PromotionRow, Promotions
from finflow.pipelines.settings.parts import Recipe
from finflow.pipelines.training.decisions import Ruling, _new, compare_incumbent, promotion_row, training_decision
from finflow.pipelines.training.incumbent import FirstVersion, Incumbent
from tests.support import tiny_values
from tests.support.pipelines.evaluation_support import evaluation_of, losses_of, recipe

NOTHING = {"random-walk": 0.0, "historical-mean": -0.01, "ridge": -0.02, "lstm": -0.03, "dense": -0.05}
CLEAN = CleanManifest("clean/tiny", 7, "", "digest", 1, 1, 0, (), "", RawManifest("raw/tiny", 1, 0, 1, "", ""))


@pytest.fixture
def definition() -> Definition:
    return parse_definition(tiny_values(gate={"loss": "mae"}))


@pytest.fixture
def promotions(tmp_path: Path) -> Promotions:
    return Promotions(Lake(str(tmp_path / "lake")), "tiny")


class Life:
    """Trains and records, one evaluation after another, as a flow does."""

    def __init__(self, definition: Definition, promotions: Promotions, folder: Path) -> None:
        self.definition, self.promotions, self.folder = definition, promotions, folder
        self.context = replace(open_context(definition, Home.from_environment()), promotions=promotions)
        self.version = 0
        self.looks, self.challenges, self.seen = 0, 0, 0

    def rule(
        self, effects: dict[str, float], dates: int, run_key: str, seed: int = 0, champion: str | None = None, **named: object
    ) -> Ruling:
        unseen = max(0, dates - self.seen)
        opens = not self.looks or unseen >= self.definition.gate.new_dates
        evaluation = evaluation_of(
            losses_of(effects, 2000, seed=seed) if dates > 2000 else {k: v[:dates] for k, v in losses_of(effects, 2000, seed=seed).items()},
            run_key=run_key,
            folder=self.folder / run_key,
            champion=champion,
            looks=self.looks,
            sight=Sight(self.challenges, unseen, decided=unseen if opens else 0),
        )
        return training_decision(self.context, evaluation, Incumbent(**named))  # type: ignore[arg-type]

    def row(self, ruling: Ruling) -> PromotionRow:
        if ruling.decision.promoted:
            self.version += 1
        return promotion_row(ruling, CLEAN, version=self.version, manifest_digest=f"m{self.version}", code_version="code")

    def train(self, *arguments: object, **named: object) -> Ruling:
        ruling = self.rule(*arguments, **named)  # type: ignore[arg-type]
        if not ruling.recorded:
            self.promotions.record(self.row(ruling), ruling.expected_version)
            self.looks += 1
            if ruling.decision.challenge:
                self.challenges, self.seen = self.challenges + 1, ruling.evaluation.dates
        return ruling


@pytest.fixture
def life(definition: Definition, promotions: Promotions, tmp_path: Path) -> Life:
    return Life(definition, promotions, tmp_path / "evaluations")


def test_the_first_training_and_its_repeat(life: Life) -> None:
    first = life.train(NOTHING, 500, "one")
    assert (first.decision.verdict, first.expected_version, first.champion) == ("reference", None, None)
    (row,) = life.promotions.rows()
    assert (row.version, row.previous_version, row.candidate, row.recipe) == (1, None, "random-walk", recipe("random-walk").model_dump())
    assert (row.test_end, row.data_version, row.data_digest, row.manifest_digest) == ("2016-05-14", 7, "digest", "m1")
    again = life.train(NOTHING, 500, "one")
    assert again.recorded == row
    assert again.decision == first.decision
    assert len(life.promotions.rows()) == 1


def test_challenges_are_counted_and_wait_for_new_dates(life: Life) -> None:
    life.train(NOTHING, 500, "one")
    same_dates = life.train({**NOTHING, "lstm": 0.2}, 500, "another seed", champion="random-walk")
    assert (same_dates.decision.verdict, same_dates.decision.challenge) == ("kept", 0)
    soon = life.train({**NOTHING, "lstm": 0.2}, 559, "59 more", champion="random-walk")
    assert soon.decision.challenge == 0
    assert soon.decision.verdict == "refreshed"
    later = life.train({**NOTHING, "lstm": 0.5}, 560, "60 more", champion="random-walk")
    assert (later.decision.verdict, later.decision.candidate, later.decision.challenge) == ("promoted", "lstm", 2)
    assert [row.version for row in life.promotions.rows()] == [1, 1, 2, 3]
    assert life.promotions.rows()[-1].previous_version == 2


def test_an_earlier_as_of_is_historical(life: Life) -> None:
    life.train(NOTHING, 500, "one")
    early = life.train({**NOTHING, "lstm": 0.3}, 400, "early", champion="random-walk")
    assert early.decision.verdict == "historical"
    champion = life.promotions.champion()
    assert champion is not None
    assert champion.version == 1
    assert life.promotions.rows()[-1].challenge == 0
    # what it would have promoted counts as no trial and as no date
    assert life.train(NOTHING, 560, "later", champion="random-walk").decision.challenge == 2


def test_the_loser_of_a_race_reads_again_and_decides_again(life: Life) -> None:
    """Both see an empty table; the second finds the first's champion, compares with it, and has no new dates."""
    skilled = {**NOTHING, "dense": 0.2, "lstm": 0.22}
    mine = life.rule(skilled, 500, "mine")
    assert mine.decision.candidate == "lstm"
    theirs = life.train({**NOTHING, "dense": 0.2}, 500, "theirs")
    assert theirs.decision.candidate == "dense"
    with pytest.raises(ConflictError):
        life.promotions.record(life.row(mine), mine.expected_version)
    again = life.rule(skilled, 500, "mine")
    assert (again.decision.verdict, again.decision.candidate, again.expected_version) == ("kept", "dense", 0)
    assert again.evaluation.champion == "dense"
    life.promotions.record(life.row(again), again.expected_version)
    assert [row.run_key for row in life.promotions.rows()] == ["theirs", "mine"]


def test_the_comparisons_are_made_anew_against_a_champion_that_changed(life: Life) -> None:
    life.train({**NOTHING, "dense": 0.1}, 500, "one")
    stale = {**NOTHING, "dense": 0.1, "lstm": 0.11}
    ruling = life.rule(stale, 600, "two")  # evaluated as if there were no champion
    lstm = next(one for one in ruling.evaluation.candidates if one.candidate == "lstm")
    assert lstm.must_beat == ("random-walk", "historical-mean", "ridge", "dense")
    assert {one.against for one in lstm.comparisons} == set(lstm.must_beat)
    assert ruling.decision.candidate == "dense"


def test_a_champion_unknown_to_the_evaluation_stays(life: Life) -> None:
    life.train({**NOTHING, "another": 0.2}, 500, "one")
    ruling = life.train({**NOTHING, "lstm": 0.3}, 600, "two")
    assert (ruling.decision.verdict, ruling.decision.candidate) == ("kept", "another")
    row = life.promotions.rows()[-1]
    assert (row.version, row.manifest_digest, Recipe.model_validate(row.recipe)) == (1, "m1", recipe("another"))


def test_killed_before_and_after_the_record(life: Life) -> None:
    """Before: the same command decides the same. After: it finds what it recorded."""
    before = life.rule({**NOTHING, "lstm": 0.2}, 500, "one")
    assert before.recorded is None
    again = life.rule({**NOTHING, "lstm": 0.2}, 500, "one")
    assert again.decision == before.decision
    life.promotions.record(life.row(again), again.expected_version)
    after = life.rule({**NOTHING, "lstm": 0.2}, 500, "one")
    assert after.recorded is not None
    assert after.decision == before.decision


def test_frozen_weights_are_compared_only_after_their_training_ended(life: Life) -> None:
    life.train(NOTHING, 500, "one")
    losses = losses_of(NOTHING, 2000)["random-walk"][:600]
    dates = pd.date_range("2015-01-01", periods=600)
    frozen = pd.Series(losses, index=dates)
    frozen[:500] *= 0.5  # on what it was trained on it looks unbeatable
    assert life.rule(NOTHING, 550, "equal", losses=frozen).decision.verdict == "refreshed"
    frozen[500:] *= 0.98
    refused = life.rule(NOTHING, 550, "worse", losses=frozen)
    assert refused.decision.verdict == "kept"
    assert "worse by more than 0.5 %" in refused.decision.reason
    assert life.rule(NOTHING, 550, "few", losses=frozen[:519]).decision.verdict == "kept"


def test_many_small_refreshes_lead_no_further_down_than_one(life: Life) -> None:
    """Each version is worse by .4 % than the one before, which is less than the minimum effect."""
    life.train(NOTHING, 500, "one")
    dates = pd.date_range("2015-01-01", periods=2000)
    refitted = losses_of(NOTHING, 2000)["random-walk"]
    as_of = life.promotions.rows()[0].effective_as_of
    before = pd.Series(refitted / 1.004, index=dates)
    same = FirstVersion(1, as_of, before)
    assert life.rule(NOTHING, 550, "the second", losses=before).decision.verdict == "refreshed"
    assert life.rule(NOTHING, 550, "as good as the first", losses=before, first=same).decision.verdict == "refreshed"
    first = FirstVersion(1, as_of, pd.Series(refitted / 1.004**2, index=dates))
    refused = life.rule(NOTHING, 550, "the third", losses=before, first=first).decision
    assert refused.verdict == "kept"
    assert refused.reason.startswith(
        "No refresh: on 50 dates after its training ended, its recipe refitted has loss +0.80 % against this champion's first version (1), "
        "worse by more than 0.5 %."
    )
    skipped = replace(same, version=2, skipped="version 1 cannot be compared (it is gone)")
    accepted = life.rule(NOTHING, 550, "the first is gone", losses=before, first=skipped).decision
    assert "+0.40 % against its version; on 50 dates after its training ended, refitting has loss +0.40 % against" in accepted.reason
    assert "Of the first versions of this champion version 1 cannot be compared (it is gone), so version 2 stands" in accepted.reason
    gone = life.rule(NOTHING, 550, "none is left", losses=before, no_first="version 1 cannot be compared (it is gone)").decision
    assert gone.verdict == "refreshed"
    assert gone.reason.index("version 1 cannot be compared (it is gone).") > 0


def test_compare_frozen_by_hand() -> None:
    dates = np.array(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"], dtype="datetime64[ns]")
    frozen = pd.Series([9.0, 4.0, 2.0], index=pd.DatetimeIndex(dates[[0, 2, 3]]))
    found = compare_incumbent(dates, np.array([1.0, 1.0, 3.0, 1.5]), frozen, "2020-01-02T22:00:00+00:00")
    assert found.dates == 2
    assert found.effect == pytest.approx(1 - 4.5 / 6.0)
    assert compare_incumbent(dates, np.ones(4), frozen, "2020-01-04T22:00:00+00:00").effect is None
    assert compare_incumbent(dates, np.full(4, np.nan), frozen, "2020-01-02T22:00:00+00:00").dates == 0


def test_where_rows_have_no_time_more_entities_are_what_is_new(life: Life) -> None:
    life.train(NOTHING, 2000, "first")
    (first,) = life.promotions.rows()
    assert first.evidence["dates"] == 2000
    evaluation = evaluation_of(losses_of(NOTHING, 2000), run_key="x", folder=life.folder / "x")
    dealt = replace(evaluation, folds=(Fold("r1p1", "", "", "", Dealt(5, 0, 0, 0, 0.2)),))
    one_day = np.full(2300, np.datetime64(first.test_end, "ns"))
    assert _new(evaluation, one_day, [first]) == 0
    assert _new(dealt, one_day, [first]) == 300
    assert _new(dealt, one_day[:1900], [first]) == 0
    assert _new(dealt, one_day, []) == 2300
