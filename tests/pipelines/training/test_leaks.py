"""A failed leakage check blocks whatever the figures say: nobody is promoted or refreshed, and nothing is spent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from finflow.pipelines.core.manifests import Decision
from finflow.pipelines.leakage.check import LeakageCheck, LeakageReport
from finflow.pipelines.tracking.store import store_client
from finflow.pipelines.training.conclusion import conclude_training
from finflow.pipelines.training.gate import ChampionState
from finflow.pipelines.training.leaks import leakage_lines, with_leakage
from tests.support.pipelines.training_support import Trained

PASSED = LeakageReport(True, (LeakageCheck("the future does not change the past", True, "the same to the bit"),))
FAILED = LeakageReport(
    False,
    (
        LeakageCheck("the future does not change the past", False, "hint changes up to 2016-01-04", ("hint",)),
        LeakageCheck("no column knows the target", False, "there are too few", tried=False),
    ),
)
PROMOTED = Decision("promoted", True, "dense", "it is better", 0.03, 1, {"entry": "dense", "level": 0.03, "challenge": 1})


def test_a_passed_check_is_evidence_and_nothing_more() -> None:
    found = with_leakage(PROMOTED, PASSED, None)
    assert replace(found, evidence={}) == replace(PROMOTED, evidence={})
    assert found.evidence["leakage"]["passed"] is True
    assert with_leakage(PROMOTED, None, None) == PROMOTED


def test_a_failed_check_keeps_the_champion_and_names_the_column() -> None:
    champion = ChampionState("ridge", 3, "2016-01-01T00:00:00+00:00", "ridge")
    for verdict in ("promoted", "refreshed", "demoted", "pending"):
        found = with_leakage(replace(PROMOTED, verdict=verdict), FAILED, champion)
        assert (found.verdict, found.promoted, found.candidate, found.level, found.challenge) == ("kept", False, "ridge", 0.0, 0)
        assert found.reason.startswith("Nobody is promoted or refreshed. No challenge was decided: the leakage check failed.")
        assert "not so: the future does not change the past (hint changes up to 2016-01-04)." in found.reason
        assert "too few" not in found.reason, "what could not be tried has not failed"
        assert found.reason.endswith("ridge stays champion; `finflow check-leakage` says more.")


def test_without_a_champion_there_is_none_afterwards(trained: Trained) -> None:
    """Not even the reference: its figures are of the same data. Report and MLflow say so in red."""
    plan = trained.plan("leaking")
    evaluation = replace(trained.evaluation, run_key="leaking")
    done = conclude_training(trained.context, plan, evaluation, {}, trained.fits, leakage=FAILED)
    assert (done.decision.verdict, done.decision.promoted) == ("refused", False)
    assert trained.context.promotions.champion() is None
    (row,) = trained.context.promotions.rows()
    assert (row.version, row.level, row.challenge) == (None, 0.0, 0)
    assert row.evidence["leakage"] == json.loads(json.dumps(FAILED.to_dict()))
    report = Path(done.outcome["report"]).with_suffix(".md").read_text(encoding="utf-8")
    assert "- **FAILED**: the future does not change the past: hint changes up to 2016-01-04." in report
    assert "**Nothing was promoted or refreshed: the figures above may know the future.**" in report
    assert store_client(trained.home).get_run(done.outcome["run_id"]).data.tags["finflow.leakage"] == "FAILED"
    assert trained.conclude("honest").decision.challenge == 1, "nothing was spent"


def test_the_report_says_nothing_where_no_check_was_made() -> None:
    assert leakage_lines({}) == []
