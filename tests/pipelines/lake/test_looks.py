"""The table of looks: what rows are found again by, what is the same data, and that a look is recorded once and in order."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.lake.fingerprints import OutcomeRows, outcome_rows
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.looks import Look, Looks, Seen

LOOK = Look("", "tiny", "training", "forecast", "level", "close", ("a",), "f", "mae", 1, 1, "", 1, "", "", 1, 0, 0.05)


def series(names: tuple[str, ...] = ("A",), days: int = 300, seed: int = 1) -> pd.DataFrame:
    parts = []
    for number, name in enumerate(names):
        moves = np.random.default_rng([seed, number]).normal(0, 0.01, days)
        close = np.round(100 * np.exp(np.cumsum(moves)), 2)
        parts.append(pd.DataFrame({"entity": name, "time": pd.bdate_range("2020-01-01", periods=days), "close": close}))
    return pd.concat(parts, ignore_index=True)


def table(rows: int = 400, seed: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"entity": [f"L{number}" for number in range(rows)], "time": pd.Timestamp("2020-01-01")})
    frame["time"] += pd.to_timedelta(np.arange(rows) // 4, unit="D")
    return frame.assign(amount=draw.lognormal(8, 1, rows), age=draw.uniform(18, 80, rows), bad=draw.integers(0, 2, rows))


def rows_of(frame: pd.DataFrame, column: str = "close", says: str = "level") -> OutcomeRows:
    return outcome_rows(frame, column, says)


def recorded(looks: Looks, key: str, rows: OutcomeRows, shown: np.ndarray | None = None, challenge: int = 0) -> Seen:
    chosen = np.ones(len(rows.day), dtype=bool) if shown is None else shown
    return looks.record(key, rows, lambda seen: (replace(LOOK, run_key=key, challenge=challenge), chosen))


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    return Looks(Lake(str(tmp_path / "lake")))


SAME: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "as they were": lambda frame: frame,
    "more days": lambda frame: series(days=400),
    "fewer days": lambda frame: frame[100:].reset_index(drop=True),
    "renamed": lambda frame: frame.assign(entity="B"),
    "renamed, in another unit": lambda frame: frame.assign(entity="B", close=frame["close"] * 100),
    "restated by a split's factor": lambda frame: frame.assign(close=frame["close"] / 7),
    "restated altogether": lambda frame: frame.assign(close=series(seed=9)["close"]),
    "among others": lambda frame: series(("A", "X", "Y")),
}


@pytest.mark.parametrize("change", sorted(SAME))
def test_these_are_the_same_data(looks: Looks, change: str) -> None:
    recorded(looks, "one", rows_of(series()))
    seen = looks.seen(rows_of(SAME[change](series())))
    assert [look.run_key for look in seen.looks] == ["one"]
    assert seen.until == int(np.datetime64("2021-02-23", "D").astype(int)), "the last day looked at, however many of them are found again"


def test_these_are_not(looks: Looks) -> None:
    recorded(looks, "one", rows_of(series()))
    assert looks.seen(rows_of(series(("B",), seed=9))).looks == ()
    assert looks.seen(rows_of(series(), says="spread")).looks == (), "what is said of the spread is no look at the level"
    nine = series(days=300).assign(entity="B")
    nine.loc[9:, "close"] = series(("B",), seed=9)["close"][9:]
    assert looks.seen(rows_of(nine)).looks == (), "a few rows are alike by chance"


def test_a_rate_that_stands_still_is_told_by_its_moves(looks: Looks) -> None:
    """Two central banks that both stand still are not the same data; one under another name is."""
    steps = np.repeat([0.0, 0.25, 0.5, 0.25, -0.25, 0.0, 0.25, 0.75, 1.0, 0.5, 0.25, 0.0], 20)
    other = np.repeat([0.0, 0.25, 0.25, 0.0, -0.5, -0.25, 0.0, 0.5, 0.75, 0.75, 0.5, 0.25], 20)
    time = pd.date_range("2000-01-01", periods=len(steps), freq="MS")
    recorded(looks, "one", rows_of(pd.DataFrame({"entity": "ECB", "time": time, "close": steps})))
    assert looks.seen(rows_of(pd.DataFrame({"entity": "SNB", "time": time, "close": other}))).looks == ()
    assert len(looks.seen(rows_of(pd.DataFrame({"entity": "euro", "time": time, "close": steps}))).looks) == 1


def test_looks_are_joined_by_series_and_not_by_kinship(looks: Looks) -> None:
    """One that looked at A and B is at the data of both; B's looks are none at A."""
    recorded(looks, "a", rows_of(series(("A",))))
    recorded(looks, "b", rows_of(series(("B",), seed=5)), challenge=1)
    both = pd.concat([series(("A",)), series(("B",), seed=5)], ignore_index=True)
    assert [look.run_key for look in recorded(looks, "both", rows_of(both)).looks] == ["a", "b"]
    seen = looks.seen(rows_of(series(("A",))))
    assert [look.run_key for look in seen.looks] == ["a", "both"]
    assert seen.challenges == 0


TABLES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "as it was": lambda frame: frame,
    "the column renamed": lambda frame: frame.rename(columns={"bad": "worse"}),
    "the entities renamed": lambda frame: frame.assign(entity=frame["entity"] + "x"),
    "entities and columns renamed": lambda frame: frame.assign(entity=frame["entity"] + "x").rename(columns={"bad": "y", "age": "z"}),
    "half of its rows": lambda frame: frame[::2].reset_index(drop=True),
    "fewer columns": lambda frame: frame.drop(columns="age"),
}


@pytest.mark.parametrize("change", sorted(TABLES))
def test_a_table_of_rows_is_found_again(looks: Looks, change: str) -> None:
    recorded(looks, "one", rows_of(table(), "bad", "outcome"))
    frame = TABLES[change](table())
    column = next(name for name in ("bad", "worse", "y") if name in frame)
    seen = looks.seen(rows_of(frame, column, "outcome"))
    assert len(seen.looks) == 1
    assert seen.again.all()


def test_another_table_with_numbered_rows_is_none(looks: Looks) -> None:
    """Rows without ids are numbered, and without dates they have the same one: their numbers say nothing."""
    one, other = (table(seed=seed).assign(time=pd.Timestamp("1994-11-17")) for seed in (1, 2))
    recorded(looks, "one", rows_of(one, "bad", "outcome"))
    assert looks.seen(rows_of(other.rename(columns={"bad": "sold"}), "sold", "outcome")).looks == ()
    assert len(looks.seen(rows_of(one.rename(columns={"bad": "sold"}), "sold", "outcome")).looks) == 1


def test_only_what_was_shown_is_looked_at(looks: Looks) -> None:
    rows = rows_of(series())
    recorded(looks, "one", rows, rows.day <= rows.day[199])
    seen = looks.seen(rows)
    assert (seen.until, int(seen.again.sum())) == (int(rows.day[199]), 200)


def test_the_same_run_is_one_look_and_sees_what_it_saw(looks: Looks) -> None:
    rows = rows_of(series())
    first = recorded(looks, "one", rows)
    recorded(looks, "two", rows)
    again = recorded(looks, "one", rows)
    assert (first.looks, again.looks) == ((), ())
    assert (again.until, again.again.any()) == (None, False)
    assert [(look.run_key, look.sequence) for look in looks.all()] == [("one", 1), ("two", 2)]


def test_looks_at_once_get_an_order(looks: Looks) -> None:
    rows = rows_of(series())
    with ThreadPoolExecutor(6) as pool:
        before = list(pool.map(lambda number: len(recorded(looks, f"run{number}", rows).looks), range(6)))
    assert sorted(before) == [0, 1, 2, 3, 4, 5]


def test_a_look_leaves_only_what_none_left_before(looks: Looks) -> None:
    rows = rows_of(series())
    recorded(looks, "one", rows)
    recorded(looks, "two", rows)
    kept = looks.lake.read("looks").sort_values("sequence")["hashes"].map(len).tolist()
    assert kept[0] > 0
    assert kept[1] == 0
    assert looks.all()[1].series == looks.all()[0].series


def removed(lake: Path) -> None:
    shutil.rmtree(lake / "looks")


def last_commit_removed(lake: Path) -> None:
    sorted((lake / "looks" / "_delta_log").glob("*.json"))[-1].unlink()


def last_commit_emptied(lake: Path) -> None:
    sorted((lake / "looks" / "_delta_log").glob("*.json"))[-1].write_bytes(b"")


def removed_with_its_head(lake: Path) -> None:
    removed(lake)
    shutil.rmtree(lake / "heads")


def a_byte_changed(lake: Path) -> None:
    path = next((lake / "looks").rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [removed, last_commit_removed, last_commit_emptied, removed_with_its_head, a_byte_changed])
def test_looks_that_were_lost_or_changed_are_no_fresh_start(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    looks = Looks(Lake(str(tmp_path / "lake")), tmp_path / "heads")
    recorded(looks, "one", rows_of(series()))
    recorded(looks, "two", rows_of(series(("Z",), seed=3)))
    damage(tmp_path / "lake")
    for call in (looks.all, lambda: looks.seen(rows_of(series())), lambda: recorded(looks, "three", rows_of(series()))):
        with pytest.raises(StateError, match=r"_delta_log/.*What was looked at would count as unseen, so nothing is trained over it"):
            call()


def test_a_crash_between_a_look_and_its_head_is_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(Lake(str(tmp_path / "lake")), tmp_path / "heads")
    recorded(looks, "one", rows_of(series()))
    with monkeypatch.context() as patch:
        patch.setattr(Looks, "_advance", lambda self, version: None)
        recorded(looks, "two", rows_of(series()))
    assert [look.run_key for look in looks.seen(rows_of(series())).looks] == ["one", "two"]
    recorded(looks, "three", rows_of(series()))
    last_commit_removed(tmp_path / "lake")
    assert "looks were lost" in str(looks.lost())
