"""`finflow verify`: what is recorded follows from what was kept, on the machine that keeps it and on a copy."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.flows.command_line import pages
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.lake.fingerprints import outcome_rows
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.looks import Look, Looks
from finflow.pipelines.lake.promotions import PromotionRow, Promotions
from finflow.pipelines.operating.verification.acceptance import accept_head
from finflow.pipelines.operating.verification.run import verify, verify_copy
from finflow.pipelines.registry.files import MANIFEST
from tests.support.pipelines.promotion_rows import row
from tests.support.pipelines.training_support import Trained, folder_of

LOOK = Look("one", "tiny", "training", "forecast", "level", "close", ("a",), "f", "mae", 1, 1, "", 1, "", "", 1, 0, 0.05)


def test_a_training_verifies_and_every_part_is_said(trained: Trained) -> None:
    trained.conclude("one")
    found = verify(trained.home, "tiny")
    assert found.ok, found.faults
    (decision,) = found.decisions
    assert (decision.chain, decision.losses, decision.figures, decision.files) == ("passed",) * 4
    assert found.head == f"1 {trained.context.promotions.rows()[0].digest}"
    page = "\n".join(pages.verify(found.to_dict()))
    assert "The record is whole, and its decisions follow from what they were made on." in page


def test_a_copy_of_the_lake_verifies_by_itself(trained: Trained, tmp_path: Path) -> None:
    trained.conclude("one")
    shutil.copytree(trained.home.lake, tmp_path / "copy")
    shutil.copytree(trained.home.mlflow / "artifacts", tmp_path / "artifacts")
    shutil.rmtree(trained.home.root)
    found = verify_copy(str(tmp_path / "copy"), "tiny")
    assert found.ok
    assert found.decisions[0].figures == "passed"
    assert found.decisions[0].files == "not there"
    assert verify_copy(str(tmp_path / "copy"), "tiny", tmp_path / "artifacts").decisions[0].files == "passed"
    with pytest.raises(FinflowError, match="holds no decision about other"):
        verify_copy(str(tmp_path / "copy"), "other")


def rewritten(trained: Trained, place: int, **changes: Any) -> str:
    """The faults of a record that somebody wrote anew as a whole, chain and heads and all, with one row changed."""
    rows = trained.context.promotions.rows()
    lake = Path(trained.home.lake)
    for folder in (lake / "promotions", lake / "heads", trained.home.heads):
        shutil.rmtree(folder)
    promotions = Promotions(Lake(trained.home.lake), "tiny")
    for number, one in enumerate(rows):
        made = replace(one, **changes) if number == place else one
        promotions.record(replace(made, digest="", previous_digest=""), promotions.snapshot()[1])
    return "; ".join(verify_copy(trained.home.lake, "tiny").faults)


def recorded(trained: Trained) -> PromotionRow:
    trained.conclude("one")
    return trained.context.promotions.rows()[0]


def test_a_figure_that_does_not_follow_from_the_losses_is_named(trained: Trained) -> None:
    """Chain and heads hold: somebody wrote everything anew."""
    made = recorded(trained)
    comparisons = {**made.evidence["comparisons"]}
    first = {**comparisons["noisy"][0], "p_value": 0.0001}
    evidence = {**made.evidence, "comparisons": {**comparisons, "noisy": [first, *comparisons["noisy"][1:]]}}
    assert "figures: FAILED: noisy against ridge: p_value comes out as" in rewritten(trained, 0, evidence=evidence)


def test_a_corrected_p_value_that_does_not_follow_is_named(trained: Trained) -> None:
    made = recorded(trained)
    evidence = {**made.evidence, "adjusted_p": {**made.evidence["adjusted_p"], "noisy": 0.001}}
    assert "noisy: the corrected p-value comes out as" in rewritten(trained, 0, evidence=evidence)


def test_a_promotion_that_the_gate_would_not_have_made_is_named(trained: Trained) -> None:
    made = recorded(trained)
    assert made.challenge == 1, "a challenge was decided, and nobody passed"
    said = rewritten(trained, 0, verdict="promoted", candidate="noisy", evidence={**made.evidence, "entry": "noisy"})
    assert "nobody passes the gate at level" in said
    assert "and noisy was promoted" in said


def test_losses_that_were_replaced_are_named(trained: Trained) -> None:
    made = recorded(trained)
    lake = Lake(trained.home.lake)
    frame = lake.read("decided_losses/tiny")
    lake.replace("decided_losses/tiny", frame.assign(loss=frame["loss"] * 0.5), "period = 'one'")
    said = rewritten(trained, 0, decided_on={**made.decided_on, "files": {}})
    assert "losses: FAILED: the losses of run one in the table decided_losses/tiny were changed" in said


@pytest.mark.parametrize("name", [MANIFEST, "data/served/model/model.json"])
def test_a_version_whose_files_were_changed_is_named(trained: Trained, name: str) -> None:
    trained.conclude("one")
    folder = folder_of(trained, 1)
    path = folder / name if (folder / name).is_file() else next(path for path in folder.rglob("*.json") if path.name != MANIFEST)
    path.write_bytes(path.read_bytes() + b" ")
    found = verify(trained.home, "tiny")
    assert not found.ok
    assert found.faults[0].startswith("decision 1, version: FAILED: ")


def test_what_no_training_decided_has_no_figures(tmp_path: Path) -> None:
    promotions = Promotions(Lake(str(tmp_path)), "tiny")
    promotions.record(row("a", "reference", "2015-06-30", 1), None)
    promotions.record(row("b", "rolled-back", "2015-07-31", 1, challenge=0), 0)
    found = verify_copy(str(tmp_path), "tiny")
    assert found.ok
    assert [one.figures for one in found.decisions] == ["recorded before losses were kept", "no losses: no training decided"]


def test_there_must_be_something_to_accept(trained: Trained) -> None:
    trained.conclude("one")
    with pytest.raises(FinflowError, match="goes on from every head; there is nothing to accept"):
        accept_head(trained.context, "Ann", "to be sure")
    with pytest.raises(FinflowError, match="needs a reason"):
        accept_head(trained.context, "Ann", " ")


def test_looks_that_were_lost_are_named_and_a_person_may_accept_it(trained: Trained) -> None:
    trained.conclude("one")
    looks = Looks(trained.context.lake, trained.home.heads)
    nothing = outcome_rows(pd.DataFrame({"entity": ["A"], "time": [pd.Timestamp("2020-01-01")], "close": [1.0]}), "close", "level")
    looks.record("one", nothing, lambda seen: (LOOK, np.ones(1, dtype=bool)))
    assert verify(trained.home, "tiny").ok
    shutil.rmtree(Path(trained.home.lake) / "looks")
    for found in (verify(trained.home, "tiny"), verify_copy(trained.home.lake, "tiny")):
        assert (found.ok, len(found.faults)) == (False, 1)
        assert found.faults[0].startswith(
            "commit 0 of the table looks (looks/_delta_log/00000000000000000000.json) is gone: looks were lost"
        )
    accept_head(trained.context, "Ann", "the disk was lost")
    assert verify(trained.home, "tiny").ok
    assert "looks were lost (the head in the table of looks)" in trained.context.promotions.rows()[-1].reason
