"""A record of decisions that is no longer what was written: every command refuses it, in words that name what is wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import Promotions
from finflow.pipelines.operating.approval import approve
from finflow.pipelines.operating.history import history
from finflow.pipelines.operating.rollback import rollback
from finflow.pipelines.operating.status import status
from finflow.pipelines.operating.verification.acceptance import accept_head
from finflow.pipelines.operating.verification.run import verify, verify_copy
from finflow.pipelines.registry.versions import load_version, repair_aliases
from finflow.pipelines.training.plan import add_champion_recipe
from tests.support.pipelines.promotion_rows import row
from tests.support.pipelines.training_support import Trained

#: every so many bytes one is changed
STEP = 331


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A lake with three decisions."""
    promotions = Promotions(Lake(str(tmp_path / "lake")), "tiny", tmp_path / "heads")
    for number, verdict in enumerate(("reference", "kept", "demoted"), 1):
        promotions.record(row(verdict, verdict, f"2015-0{number}-28", number), promotions.snapshot()[1])
    return tmp_path / "lake" / "promotions" / "tiny"


def refusal(table: Path) -> str:
    """What reading the decisions says."""
    lake = table.parents[1]
    with pytest.raises(StateError) as refused:
        Promotions(Lake(str(lake)), "tiny", lake.parent / "heads").rows()
    found = verify_copy(str(lake), "tiny")
    assert not found.ok
    assert found.faults
    return str(refused.value)


def test_whatever_byte_is_changed_the_commit_is_named(table: Path) -> None:
    """Of log entries and data files alike; nearly half of a Parquet file's bytes bear on no value."""
    tried = 0
    for path in sorted(path for path in table.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for place in range(0, len(whole), STEP):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
            said = refusal(table)
            assert said.startswith("tiny: commit "), (path, place)
            assert "was changed" in said
            tried += 1
        path.write_bytes(whole)
    assert tried > 60
    assert len(Promotions(Lake(str(table.parents[1])), "tiny").rows()) == 3


@pytest.mark.parametrize("last", [2, 0])
@pytest.mark.parametrize("fault", ["emptied", "removed"])
def test_a_commit_that_was_emptied_or_removed_is_named(table: Path, fault: str, last: int) -> None:
    entry = table / "_delta_log" / f"{last:020d}.json"
    for later in range(last + 1, 3):
        (table / "_delta_log" / f"{later:020d}.json").unlink()
    entry.write_bytes(b"") if fault == "emptied" else entry.unlink()
    said = refusal(table)
    assert f"commit {last} of the table promotions/tiny" in said
    assert ("was emptied" if fault == "emptied" else "is gone") in said


def test_the_whole_table_removed_is_a_loss_too(table: Path) -> None:
    shutil.rmtree(table)
    assert "commit 0 of the table promotions/tiny" in refusal(table)


def test_a_chain_whose_heads_are_both_deleted_is_refused(table: Path) -> None:
    shutil.rmtree(table.parents[1] / "heads")
    assert len(Promotions(Lake(str(table.parents[1])), "tiny", table.parents[2] / "heads").rows()) == 3, "the home has its own"
    shutil.rmtree(table.parents[1] / "heads")
    shutil.rmtree(table.parents[2] / "heads")
    assert "the chain has no head: it was deleted" in refusal(table)


def test_a_damaged_head_is_named_and_the_other_may_write_it_again(table: Path) -> None:
    lake = table.parents[1]
    (lake / "heads" / "tiny.json").write_text('{"format": 1, "sequ', encoding="utf-8")
    with pytest.raises(StateError, match=r"head of the decisions in the lake \(heads/tiny.json\) cannot be read: it is damaged"):
        Promotions(Lake(str(lake)), "tiny", lake.parent / "heads").rows()
    (lake / "heads" / "tiny.json").unlink()
    assert len(Promotions(Lake(str(lake)), "tiny", lake.parent / "heads").rows()) == 3
    assert (lake / "heads" / "tiny.json").is_file()


def demoted(trained: Trained) -> Context:
    """A training's decision, kept with its losses, and a second one."""
    trained.conclude("one")
    trained.conclude("two")
    return trained.context


@pytest.mark.slow
def test_no_command_goes_on_over_a_record_whose_last_commit_is_gone(trained: Trained) -> None:
    demoted(trained)
    sorted(Path(trained.home.lake, "promotions/tiny/_delta_log").glob("*.json"))[-1].unlink()
    context = trained.context
    for command in (
        lambda: status(context),
        lambda: history(context),
        lambda: approve(context, 1, "Ann", "fine"),
        lambda: rollback(context, "a try"),
        lambda: load_version(context, 1),
        lambda: repair_aliases(context),
        lambda: add_champion_recipe(context, {}),
        lambda: trained.conclude("three"),
    ):
        with pytest.raises(StateError, match=r"commit 1 of the table promotions/tiny .* is gone: decisions were lost"):
            command()
    assert not verify(trained.home, "tiny").ok


def test_no_command_goes_on_over_a_loss_that_was_changed(trained: Trained) -> None:
    demoted(trained)
    path = sorted(Path(trained.home.lake, "decided_losses/tiny").rglob("*.parquet"))[0]
    whole = path.read_bytes()
    for place in (4, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StateError, match=r"decision [12]: the losses that it was decided on were changed \(decided_losses/tiny"):
            status(trained.context)
        found = verify(trained.home, "tiny")
        assert any("the losses that it was decided on were changed" in fault for fault in found.faults)
    path.unlink()
    with pytest.raises(StateError, match="the losses that it was decided on are gone"):
        status(trained.context)


def test_an_older_lake_put_back_alone_is_refused_by_the_registry_and_may_be_accepted(trained: Trained, tmp_path: Path) -> None:
    trained.conclude("one")
    shutil.copytree(trained.home.lake, tmp_path / "older")
    trained.conclude("two")
    shutil.rmtree(trained.home.lake)
    shutil.copytree(tmp_path / "older", trained.home.lake)
    shutil.rmtree(trained.home.heads)  # then only the registry remembers
    with pytest.raises(StateError, match=r"the table holds 1 decisions, and its head says 2.*the tag finflow.head of the registered model"):
        load_version(trained.context, 1)
    with pytest.raises(StateError, match="its head says 2"):
        repair_aliases(trained.context)
    assert any("its head says 2" in fault for fault in verify(trained.home, "tiny").faults)
    decision = accept_head(trained.context, "Ann Auditor", "the disk of the 3rd was lost")
    assert decision.verdict == "head-accepted"
    assert not decision.promoted
    assert "Ann Auditor accepts the record of 1 decisions as it stands: the disk of the 3rd was lost. What was wrong: " in decision.reason
    assert verify(trained.home, "tiny").ok
    assert load_version(trained.context, 1).version == 1
    assert trained.conclude("three").decision.verdict == "kept"
    assert [one.verdict for one in trained.context.promotions.rows()] == ["reference", "head-accepted", "kept"]


def test_a_home_that_is_moved_or_put_back_as_a_whole_goes_on(trained: Trained, tmp_path: Path) -> None:
    """In another place, since this process holds the databases of the first one open."""
    trained.conclude("one")
    root = tmp_path / "elsewhere"
    for part in ("lake", "mlflow", "samples", "evaluations", "fits"):
        shutil.copytree(trained.home.root / part, root / part)
    trained.conclude("two")
    moved = replace(trained, home=Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None))
    assert [one.run_key for one in moved.context.promotions.rows()] == ["one"]
    assert verify(moved.home, "tiny").ok
    moved.conclude("three")
    assert [one.run_key for one in moved.context.promotions.rows()] == ["one", "three"]
    assert verify(moved.home, "tiny").ok
