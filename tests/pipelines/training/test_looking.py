"""Looks are counted by the data: what is done to begin afresh finds the looks before it; a later challenge is decided on unseen dates."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.errors import NotEnoughHistoryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.evaluation.store import compared_losses, daily_losses, read_safety, safety_losses
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.looks import Looks
from finflow.pipelines.training.look_words import look_figures, look_sentence
from finflow.pipelines.training.looking import looks_at, take_trial_look
from finflow.pipelines.training.report import report_text
from finflow.pipelines.training.spending import level_to_spend
from tests.support.pipelines.looks_support import Desk, bars, dates_in, renamed

#: the days end on 2017-02-24, and test dates begin on 2016-07-01: about 170
DAYS = 560
SKILLED = {"dense": 0.5}


@pytest.fixture
def desk(home: Home) -> Desk:
    return Desk(home)


def test_the_first_challenge_has_all_dates_and_a_second_none(desk: Desk) -> None:
    first = desk.train(bars(DAYS))
    assert (first.decision.verdict, first.decision.challenge) == ("reference", 1)
    assert first.decision.level == pytest.approx(level_to_spend(0.05, 0))
    again = desk.train(bars(DAYS), SKILLED)
    assert (again.decision.verdict, again.decision.challenge, again.decision.level) == ("kept", 0, 0.0)
    assert "dates, seen once before: nothing is decided on them; 0 sealed, the next challenge opens at 60" in again.decision.reason


def test_dates_after_the_last_look_stay_sealed_until_they_are_enough(desk: Desk) -> None:
    first = desk.train(bars(DAYS))
    seen = dates_in(first.evaluation.folder)
    context, _, waiting = desk.evaluate(bars(DAYS + 40), SKILLED)
    assert (waiting.looks_before, waiting.sealed, waiting.dates) == (1, 39, first.evaluation.dates)
    assert dates_in(waiting.folder) == seen, "no loss, sample or prediction of a sealed date"
    assert waiting.last_date == first.evaluation.last_date
    safe = read_safety(waiting)
    assert {one.candidate for one in safe.candidates} == {"random-walk", "ridge"}, "no challenger's figure on sealed dates is kept anywhere"
    assert set(safety_losses(waiting)[1]) == {"random-walk", "ridge"}
    assert safe.dates > waiting.dates + 38
    later = desk.train(bars(DAYS + 61), SKILLED)
    assert (later.decision.verdict, later.decision.candidate, later.decision.challenge) == ("promoted", "dense", 2)
    assert later.decision.evidence["looks"]["decided"]["dates"] == 60
    assert later.decision.level == pytest.approx(level_to_spend(0.05, 1))
    assert [look.sealed for look in Looks(context.lake).all()] == [0, 39, 0]


def test_a_challenge_is_decided_on_unseen_dates_alone(desk: Desk) -> None:
    """A network that was chosen for what it does on seen dates: over all of them it beats everything, on unseen ones nothing."""
    desk.train(bars(DAYS))
    lucky = {"dense": lambda time: np.where(time < np.datetime64("2017-02-24"), 0.9, -0.4)}
    ruling = desk.train(bars(DAYS + 61), lucky)
    assert (ruling.decision.challenge, ruling.decision.candidate) == (2, "random-walk")
    evaluation = ruling.evaluation
    dates, losses = compared_losses(evaluation)
    assert evaluation.decided_after is not None
    assert (len(dates), bool(dates.min() > np.datetime64(evaluation.decided_after))) == (60, True)
    one = next(one for one in evaluation.candidates if one.candidate == "dense")
    found = next(comparison for comparison in one.comparisons if comparison.against == "random-walk")
    assert found.dates == 60
    assert found.effect == pytest.approx(1 - losses["dense"].mean() / losses["random-walk"].mean())
    assert found.effect < 0
    everything, whole = daily_losses(evaluation)
    assert len(everything) > 220
    assert whole["dense"].mean() < 0.6 * whole["random-walk"].mean()


BEGIN_AFRESH: dict[str, tuple[Any, dict[str, Any]]] = {
    "another name": (bars, {"name": "other"}),
    "another loss": (bars, {"gate": {"loss": "crps"}}),
    "a raised level": (bars, {"gate": {"level": 0.45}}),
    "earlier test periods": (bars, {"folds": {"first_test": "2016-03-01", "months": 6, "validation_months": 3}}),
    "another horizon": (bars, {"window": {"length": 10, "horizon": 3}}),
    "other features": (bars, {"features": [{"kind": "log_return", "column": "close", "name": "another"}]}),
    "another entity's name": (lambda days: renamed(bars(days), "BETA"), {"name": "other"}),
    "another unit": (lambda days: renamed(bars(days), "CENTS").assign(close=lambda frame: frame["close"] * 100), {"name": "other"}),
    "other values": (lambda days: bars(days, seed=77), {}),
    "more entities": (lambda days: pd.concat([bars(days), bars(days, ("NEW",), seed=9)], ignore_index=True), {"name": "other"}),
}


@pytest.mark.parametrize("trick", sorted(BEGIN_AFRESH))
def test_nothing_begins_afresh(desk: Desk, trick: str) -> None:
    desk.train(bars(DAYS))
    rows, changes = BEGIN_AFRESH[trick]
    tried = desk.train(rows(DAYS), SKILLED, **changes)
    assert (tried.decision.challenge, tried.decision.promoted and tried.decision.verdict == "promoted") == (0, False), tried.decision.reason
    assert tried.evaluation.looks_before == 1


def test_another_column_of_the_same_values_is_the_same_data(desk: Desk) -> None:
    desk.train(bars(DAYS))
    values = bars(DAYS).assign(price=lambda frame: frame["close"])
    problem = {"kind": "forecast", "column": "price", "levels": [0.05, 0.25, 0.5, 0.75, 0.95]}
    assert desk.train(values, SKILLED, name="other", problem=problem).decision.challenge == 0


def test_part_of_the_entities_is_the_same_data(desk: Desk) -> None:
    desk.train(bars(DAYS, ("ALPHA", "BETA", "GAMMA")))
    part = bars(DAYS, ("ALPHA", "BETA", "GAMMA")).query("entity == 'BETA'").reset_index(drop=True)
    assert desk.train(part, SKILLED, name="part").decision.challenge == 0


def test_other_data_begin_with_all_their_dates_and_the_whole_level(desk: Desk) -> None:
    desk.train(bars(DAYS))
    other = desk.train(bars(DAYS, ("OTHER",), seed=99), SKILLED, name="other")
    assert (other.decision.verdict, other.decision.challenge, other.evaluation.looks_before) == ("promoted", 1, 0)


def test_the_lowest_level_that_was_ever_declared_is_spent(desk: Desk) -> None:
    desk.train(bars(DAYS), gate={"level": 0.01})
    raised = desk.train(bars(DAYS + 61), gate={"level": 0.2})
    assert raised.decision.level == pytest.approx(level_to_spend(0.01, 1))
    looks = raised.decision.evidence["looks"]
    assert looks["lowest_level"] == 0.01
    assert looks["level_spent"] == pytest.approx(level_to_spend(0.01, 0) + level_to_spend(0.01, 1))


def test_a_closed_gate_shows_its_dates_and_so_they_are_seen(desk: Desk) -> None:
    closed = desk.train(bars(DAYS), gate={"minimum_dates": 200})
    assert closed.decision.challenge == 0
    assert "the gate decides from 200 on" in closed.decision.reason
    later = desk.train(bars(DAYS + 61), SKILLED, gate={"minimum_dates": 200})
    assert (later.decision.challenge, later.decision.level) == (1, pytest.approx(level_to_spend(0.05, 0)))
    assert later.decision.evidence["looks"]["decided"]["dates"] == 60


def test_a_run_killed_after_its_look_has_spent_it_and_the_same_run_finds_it(desk: Desk) -> None:
    killed = desk.look(bars(DAYS), "killed")
    assert (killed.challenge, killed.looks) == (1, 0)
    other = desk.train(bars(DAYS), SKILLED)
    assert (other.decision.challenge, other.evaluation.looks_before) == (0, 1)
    again = desk.look(bars(DAYS), "killed")
    assert (again.challenge, again.looks, again.decided_after) == (1, 0, None)
    assert len(Looks(Lake(desk.home.lake)).all()) == 2


def test_two_looks_at_once_get_an_order(desk: Desk) -> None:
    contexts = [desk.context(f"desk{number}") for number in range(4)]
    plans = [desk.plan(context, bars(DAYS)) for context in contexts]

    def look(number: int) -> int:
        from finflow.pipelines.training.looking import take_look

        return take_look(contexts[number], plans[number], desk.predictions(contexts[number], plans[number])).looks

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(look, range(4))) == [0, 1, 2, 3]
    assert [look.challenge for look in Looks(Lake(desk.home.lake)).all()] == [1, 0, 0, 0]


def test_where_every_test_date_is_sealed_nothing_is_shown_and_no_look_is_spent(desk: Desk) -> None:
    desk.train(bars(DAYS))
    folds = {"first_test": "2017-05-01", "months": 6, "validation_months": 3}
    with pytest.raises(NotEnoughHistoryError, match=r"other: all 2\d test dates are sealed.*opens at 60.*finflow try other"):
        desk.train(bars(DAYS + 70), name="other", folds=folds)
    assert len(Looks(Lake(desk.home.lake)).all()) == 1


def test_a_champion_is_demoted_on_sealed_dates_too(desk: Desk) -> None:
    """What makes things safer waits for nobody: the network turns bad after the last look."""
    promoted = desk.train(bars(DAYS), SKILLED)
    assert promoted.decision.candidate == "dense"
    demoted = desk.train(bars(DAYS + 40), {"dense": -0.5})
    assert (demoted.evaluation.sealed, demoted.decision.challenge) == (39, 0)
    assert (demoted.decision.verdict, demoted.decision.candidate) == ("demoted", "random-walk")


def test_decisions_of_before_the_table_count_as_looks(desk: Desk) -> None:
    desk.train(bars(DAYS))
    context = desk.context()
    shutil.rmtree(f"{context.lake.location}/looks")
    for folder in (Path(context.lake.location) / "heads", context.home.heads):
        (folder / "_looks.json").unlink()
    later = desk.train(bars(DAYS + 40), SKILLED)
    assert (later.decision.challenge, later.evaluation.looks_before, later.evaluation.sealed) == (0, 1, 39)
    assert [(look.purpose, look.challenge) for look in looks_at(context)] == [("earlier", 1), ("training", 0)]
    assert looks_at(context)[0].level == pytest.approx(0.05)


def test_looks_are_listed_by_any_name(desk: Desk) -> None:
    desk.train(bars(DAYS))
    desk.train(bars(DAYS), name="other")
    desk.train(bars(DAYS, ("OTHER",), seed=99), name="unlike")
    assert [look.definition for look in looks_at(desk.context("other"))] == ["tiny", "other"]
    assert [look.definition for look in looks_at(desk.context("unlike"))] == ["unlike"]


def test_the_report_says_what_was_looked_at(desk: Desk) -> None:
    desk.train(bars(DAYS))
    context, plan, evaluation = desk.evaluate(bars(DAYS + 40), SKILLED)
    from finflow.pipelines.training.decisions import promotion_row, training_decision

    ruling = training_decision(context, evaluation)
    row = promotion_row(ruling, plan.samples.clean, version=9, manifest_digest="m9", code_version="code")
    text = report_text(context.definition, evaluation, row, None, plan.samples)
    assert "## Looks at these data" in text
    assert "dates were seen once before, 39 are sealed; level spent on them so far 0.0304 of 0.05" in text
    figures = look_figures(evaluation, row.evidence)
    assert (figures["looks_before"], figures["unseen"], figures["sealed"]) == (1, 39, 39)
    assert look_sentence({**figures, "looks_before": 0, "dates": 10, "level_spent": None}).startswith("the first look at these data: 10")


def test_a_trial_that_ends_before_the_test_part_takes_nothing_from_it(desk: Desk) -> None:
    first_test = {"folds": {"first_test": "2016-07-01", "months": 6, "validation_months": 3}}
    before = desk.context(folds={**first_test["folds"], "first_test": "2016-01-01", "months": 3})
    clean = bars(DAYS)
    until = clean[clean["time"] < "2016-06-20"]
    plan = desk.plan(before, until, "trial")
    for _ in range(2):
        take_trial_look(before, plan, desk.predictions(before, plan))
    (look,) = Looks(before.lake).all()
    assert (look.purpose, look.challenge, look.spent) == ("trial", 0, 0.0)
    ruling = desk.train(clean, **first_test)
    assert (ruling.evaluation.looks_before, ruling.decision.challenge, ruling.evaluation.sealed) == (0, 1, 0)


def test_what_a_trial_has_shown_is_no_unseen_date_where_the_first_test_date_is_set_back(desk: Desk) -> None:
    context, clean = desk.context(), bars(DAYS)
    plan = desk.plan(context, clean, "trial")
    take_trial_look(context, plan, desk.predictions(context, plan))
    ruling = desk.train(clean, SKILLED)
    assert (ruling.evaluation.looks_before, ruling.decision.challenge, ruling.decision.candidate) == (1, 0, "random-walk")
