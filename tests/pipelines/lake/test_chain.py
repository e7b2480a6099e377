"""The chain of decisions: no field of any row can change, none be left out or put in, and its head tells where it ended."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.lake.chain import chain_faults, next_link
from finflow.pipelines.lake.heads import Head, mark_fault
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.lake_files import LakeFiles
from finflow.pipelines.lake.promotions import PromotionRow, Promotions, _frame
from tests.support.pipelines.promotion_rows import row

FIELDS = tuple(field.name for field in fields(PromotionRow))


def chained(count: int, before: int = 0) -> list[dict[str, Any]]:
    """So many rows of a chain, behind others that were recorded before there was one."""
    rows: list[dict[str, Any]] = []
    for number in range(before + count):
        plain = row(f"run-{number}", "kept", "2015-06-30", 1)
        made = replace(plain, sequence=number + 1, recorded_at="2015-07-01T00:00:00+00:00").to_dict()
        rows.append(made if number < before else {**made, **next_link("tiny", rows, made)})
    return rows


def changed(value: Any, text: str) -> Any:
    """Another value of the same kind."""
    if isinstance(value, dict):
        return {**value, text: 1}
    if isinstance(value, (int, float)):
        return value + 1
    return text if value is None else f"{value}{text}"


@given(st.integers(0, 5), st.sampled_from(FIELDS), st.text(min_size=1, max_size=3), st.integers(0, 3))
def test_any_change_of_any_field_of_any_row_is_found(place: int, name: str, text: str, before: int) -> None:
    rows = chained(6 - before, before)
    assert chain_faults("tiny", rows) == {}
    rows[place] = {**rows[place], name: changed(rows[place][name], text)}
    assert chain_faults("tiny", rows), f"{name} of row {place}"


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3))
def test_no_row_can_be_left_out_but_the_last_nor_two_change_places(one: int, other: int, before: int) -> None:
    rows = chained(6 - before, before)
    without = [row for place, row in enumerate(rows) if place != one]
    renumbered = [{**row, "sequence": number + 1} for number, row in enumerate(without)]
    assert chain_faults("tiny", without)
    assert chain_faults("tiny", renumbered)
    if one != other:
        rows[one], rows[other] = rows[other], rows[one]
        assert chain_faults("tiny", rows)


def test_a_chain_is_of_one_definition() -> None:
    assert chain_faults("other", chained(2)) == {
        0: "decision 1 does not follow on nothing, as the first of all: one of the two was changed, put in or taken out"
    }


def test_without_its_last_rows_a_chain_holds_and_its_head_does_not() -> None:
    rows = chained(3)
    assert chain_faults("tiny", rows[:2]) == {}
    digests = [one["digest"] for one in rows]
    mark = Head(3, digests[2]).mark
    assert mark_fault(mark, digests) is None
    assert mark_fault(mark, digests[:2]) == "the table holds 2 decisions, and its head says 3: decisions were lost"
    assert mark_fault(Head(2, "another").mark, digests) == "decision 2 is not the one that the head knows: the table went another way since"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def decide(promotions: Promotions, *keys: str) -> None:
    for number, key in enumerate(keys):
        promotions.record(row(key, "reference", f"2015-0{number + 1}-28", number + 1), promotions.snapshot()[1])


def test_rows_of_an_earlier_finflow_are_before_the_chain_and_held_by_it(lake: Lake) -> None:
    """Its table has none of the chain's columns."""
    new = {"previous_digest", "digest", "decided_on"}
    for number in (1, 2):
        old = _frame(replace(row(f"old-{number}", "kept", "2014-06-30", 1), sequence=number, recorded_at="2014-07-01T00:00:00+00:00"))
        lake.append("promotions/tiny", old.drop(columns=sorted(new)))
    promotions = Promotions(lake, "tiny")
    assert [one.digest for one in promotions.rows()] == ["", ""], "they are accepted, and have no digest"
    decide(promotions, "a")
    assert [bool(one.digest) for one in Promotions(lake, "tiny").rows()] == [False, False, True]
    rows = [one.to_dict() for one in promotions.rows()]
    rows[0]["reason"] = "another"
    assert "decision 3 does not follow on what was recorded before it" in chain_faults("tiny", rows)[2]


def test_a_crash_between_the_decision_and_its_heads_is_repaired(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    promotions = Promotions(lake, "tiny", tmp_path / "heads")
    decide(promotions, "a")
    version = promotions.snapshot()[1]

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Promotions, "_advance", crash)
        with pytest.raises(KeyboardInterrupt):
            promotions.record(row("b", "reference", "2015-02-28", 2), version)
    assert {head.sequence for head in promotions.heads.read().values()} == {1}
    assert len(Promotions(lake, "tiny", tmp_path / "heads").rows()) == 2
    heads = promotions.heads.read()
    assert len(heads) == 2, "the lake's and the home's"
    assert {head.sequence for head in heads.values()} == {2}


def test_a_head_that_is_behind_follows_and_one_that_is_ahead_refuses(lake: Lake, tmp_path: Path) -> None:
    promotions = Promotions(lake, "tiny", tmp_path / "heads")
    decide(promotions, "a")
    shutil.copytree(lake.location, tmp_path / "older")
    early = (tmp_path / "heads" / "tiny.json").read_bytes()
    promotions.record(row("b", "reference", "2015-03-28", 2), promotions.snapshot()[1])
    (tmp_path / "heads" / "tiny.json").write_bytes(early)
    assert len(Promotions(lake, "tiny", tmp_path / "heads").rows()) == 2
    assert (tmp_path / "heads" / "tiny.json").read_bytes() != early
    shutil.rmtree(lake.location)
    shutil.copytree(tmp_path / "older", lake.location)
    assert len(Promotions(lake, "tiny").rows()) == 1, "by itself the older lake is whole"
    with pytest.raises(StateError) as refused:
        Promotions(lake, "tiny", tmp_path / "heads").rows()
    assert str(refused.value).startswith("tiny: commit 1 of the table promotions/tiny (promotions/tiny/_delta_log/0")
    assert "is gone: decisions were lost" in str(refused.value)
    assert "finflow verify tiny --accept-head --by WHO --why TEXT" in str(refused.value)


def test_what_is_written_into_a_lake_goes_through_to_the_disk(lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    synced: list[str] = []
    monkeypatch.setattr("finflow.pipelines.lake.lake_files.sync_path", lambda path: synced.append(str(Path(path).relative_to(tmp_path))))
    decide(Promotions(lake, "tiny"), "a")
    assert "lake/promotions/tiny/_delta_log/00000000000000000000.json" in synced
    assert any(path.endswith(".parquet") for path in synced)
    assert {"lake/promotions/tiny/_delta_log", "lake/promotions/tiny", "lake/promotions", "lake", "lake/heads"} <= set(synced)


def test_files_of_an_object_store_are_read_and_written_alike(tmp_path: Path) -> None:
    (tmp_path / "lake" / "heads").mkdir(parents=True)
    local, remote = LakeFiles(str(tmp_path / "lake")), LakeFiles(f"file://{tmp_path / 'lake'}")
    remote.folder = None  # as if the address were no folder's
    remote.write("heads/tiny.json", "列")
    assert local.read("heads/tiny.json") == remote.read("heads/tiny.json") == "列".encode()
    assert local.read("heads/other.json") is remote.read("heads/other.json") is None


def test_instants_are_held_as_they_are_read_again(lake: Lake) -> None:
    made = replace(row("a", "reference", "2015-06-30", 1), effective_as_of="2015-06-30T18:00:00-04:00", recorded_at="2015-07-01T00:00:00Z")
    promotions = Promotions(lake, "tiny")
    promotions.record(made, None)
    (found,) = Promotions(lake, "tiny").rows()
    assert pd.Timestamp(found.effective_as_of) == pd.Timestamp(made.effective_as_of)
