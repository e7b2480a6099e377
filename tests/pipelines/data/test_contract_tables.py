"""Keeping tables equal to what the contract says: only what differs is written, once, whoever else writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.errors import ConflictError
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.contract_tables import write_clean, write_quarantine
from finflow.pipelines.lake.conflicts import ATTEMPTS
from finflow.pipelines.lake.lake import Lake
from tests.support.expectations.bars import bars

AS_OF = pd.Timestamp("2019-12-31", tz="UTC")


def prepared(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(entity=frame["entity"].astype("category"))


def test_many_writers_of_the_same_rows_leave_one_copy(home: Home) -> None:
    lake, rows = Lake(home.lake), prepared(bars())
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda _: write_clean(Lake(home.lake), "clean/tiny", rows, AS_OF), range(4)))
    assert versions == [0, 0, 0, 0]
    assert len(lake.read("clean/tiny")) == len(rows)


def test_many_writers_of_different_rows_leave_all_of_them(home: Home) -> None:
    parts = [prepared(bars((name,))) for name in ("AAA", "BBB", "CCC")]
    rows = [prepared(pd.concat(parts[: count + 1], ignore_index=True)) for count in range(3)]
    for one in rows:
        write_clean(Lake(home.lake), "clean/tiny", one, AS_OF)
    found = Lake(home.lake).read("clean/tiny")
    assert found.groupby("entity").size().to_dict() == {"AAA": 300, "BBB": 300, "CCC": 300}


def test_only_what_is_new_is_written(home: Home) -> None:
    lake, frame = Lake(home.lake), bars()
    write_clean(lake, "clean/tiny", prepared(frame.iloc[:-3]), AS_OF)
    assert write_clean(lake, "clean/tiny", prepared(frame), AS_OF) == 1
    before = lake.read("clean/tiny", version=0)
    after = lake.read("clean/tiny", version=1)
    assert (len(before), len(after)) == (len(frame) - 3, len(frame))
    assert write_clean(lake, "clean/tiny", prepared(frame.sample(frac=1.0, random_state=2)), AS_OF) == 1


def test_missing_values_and_text_are_compared_too(home: Home) -> None:
    lake = Lake(home.lake)
    frame = bars().assign(remark=pd.array(["停牌", None] * 300, dtype="str"))
    frame.loc[3, "volume"] = np.nan
    assert write_clean(lake, "clean/tiny", prepared(frame), AS_OF) == 0
    assert write_clean(lake, "clean/tiny", prepared(frame), AS_OF) == 0
    changed = frame.copy()
    changed.loc[0, "remark"] = "复牌"
    assert write_clean(lake, "clean/tiny", prepared(changed), AS_OF) == 1
    assert lake.read("clean/tiny")["remark"].value_counts().to_dict() == {"停牌": 299, "复牌": 1}


def test_copies_in_quarantine_are_counted(home: Home) -> None:
    lake, frame = Lake(home.lake), bars().iloc[[5, 5, 5]].assign(rules="unique_key", contract="c")
    write_quarantine(lake, "quarantine/tiny", prepared(frame.iloc[:2]), AS_OF)
    write_quarantine(lake, "quarantine/tiny", prepared(frame), AS_OF)
    write_quarantine(lake, "quarantine/tiny", prepared(frame), AS_OF)
    assert len(lake.read("quarantine/tiny")) == 3


def test_nothing_quarantined_makes_no_table(home: Home) -> None:
    lake = Lake(home.lake)
    assert write_quarantine(lake, "quarantine/tiny", prepared(bars()).iloc[:0].assign(rules="", contract=""), AS_OF) is None
    assert not lake.exists("quarantine/tiny")


def test_endless_conflicts_end_in_a_message(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def lost(*arguments: object, **named: object) -> int:
        tries.append(1)
        raise ConflictError("another run wrote first")

    monkeypatch.setattr(Lake, "append", lost)
    monkeypatch.setattr("finflow.pipelines.lake.conflicts.LONGEST_WAIT", 0.001)
    with pytest.raises(ConflictError, match="Nothing was written; run the command again"):
        write_clean(Lake(home.lake), "clean/tiny", prepared(bars()), AS_OF)
    assert len(tries) == ATTEMPTS
