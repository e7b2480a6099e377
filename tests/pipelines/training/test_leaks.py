"""A failed leakage check ends a training: nobody is promoted or refreshed, nothing is looked at, and nothing is spent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finflow.pipelines.core.errors import LeakageError
from finflow.pipelines.core.manifests import Decision
from finflow.pipelines.lake.looks import Looks
from finflow.pipelines.leakage.check import LeakageCheck, LeakageReport
from finflow.pipelines.tracking.store import store_client
from finflow.pipelines.training.leaks import leakage_lines, refuse_leaks, with_leakage
from tests.support.pipelines.training_support import Trained

PASSED = LeakageReport(True, (LeakageCheck("the future does not change the past", True, "the same to the bit"),))
FAILED = LeakageReport(
    False,
    (
        LeakageCheck("the future does not change the past", False, "hint changes up to 2016-01-04", ("hint",)),
        LeakageCheck("no column knows the target", False, "there are too few", tried=False),
    ),
)
KEPT = Decision("kept", False, "ridge", "it stays", 0.0, 0, {"level": 0.0})


def test_a_passed_check_is_evidence_and_nothing_more() -> None:
    found = with_leakage(KEPT, PASSED)
    assert replace(found, evidence={}) == replace(KEPT, evidence={})
    assert found.evidence == {"level": 0.0, "leakage": PASSED.to_dict()}
    assert with_leakage(KEPT, None) == KEPT


def test_a_passed_check_lets_a_training_go_on(trained: Trained) -> None:
    refuse_leaks(trained.context, trained.samples, PASSED, {})


def test_a_failed_check_ends_the_training_before_it_looks_at_a_test_outcome(trained: Trained) -> None:
    """Once in MLflow, in red; a mended definition begins as if nothing had been."""
    for _ in range(2):
        with pytest.raises(LeakageError) as raised:
            refuse_leaks(trained.context, trained.samples, FAILED, {"finflow.prefect_run": "17"})
    message = str(raised.value)
    assert "the leakage check failed, so nobody is promoted. not so: the future does not change the past (hint changes up to" in message
    assert "too few" not in message, "what could not be tried has not failed"
    assert "no test outcome was looked at; there is no champion. `finflow check-leakage" in message
    client = store_client(trained.home)
    experiment = client.get_experiment_by_name(trained.context.name)
    (run,) = client.search_runs([experiment.experiment_id], "tags.`finflow.leakage` = 'FAILED'")
    assert (run.info.status, run.data.tags["finflow.prefect_run"]) == ("FAILED", "17")
    assert "- **FAILED**: the future does not change the past: hint changes up to 2016-01-04." in run.data.tags["mlflow.note.content"]
    assert Looks(trained.context.lake).all() == []
    assert trained.conclude("honest").decision.challenge == 1, "nothing was spent"


def test_the_report_says_nothing_where_no_check_was_made() -> None:
    assert leakage_lines({}) == []
    assert leakage_lines({"leakage": PASSED.to_dict()})[-1] == "- passed: the future does not change the past: the same to the bit."
