"""The lake: what is written comes back, by version; writers in several processes neither lose nor double anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.errors import ConflictError, StateError
from finflow.pipelines.lake.lake import Lake, literal
from finflow.pipelines.lake.wide import GROUP
from tests.support import warm

REPOSITORY = Path(__file__).resolve().parents[3]


def rows(*entities: str, **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"entity": pd.array(list(entities), dtype="str"), "time": pd.Timestamp("2018-01-02"), "x": np.arange(len(entities)) + 0.5}
    )
    return frame.assign(**columns)


def processes(tmp_path: Path, count: int, code: str) -> list[str]:
    """Run `code` in so many processes that begin together; it finds `lake`, `rows` and its `number`. Returns what each printed."""
    gate = tmp_path / "gate"
    program = f"""
import sys, time
from pathlib import Path
import pandas as pd
from finflow.pipelines.core.errors import ConflictError
from finflow.pipelines.lake.lake import Lake
import deltalake
lake, number = Lake({str(tmp_path / "lake")!r}), int(sys.argv[1])
def rows(**columns):
    return pd.DataFrame({{"entity": ["e" + str(number)], "number": [number], **columns}})
Path({str(tmp_path)!r}, f"ready{{number}}").touch()
while not Path({str(gate)!r}).exists():
    time.sleep(0.001)
{code}
"""
    started = [
        warm.Popen([sys.executable, "-c", program, str(number)], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(count)
    ]
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("ready*"))) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    gate.touch()
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * count, said
    return [out.strip() for out, _ in said]


def test_what_is_written_comes_back_with_its_types(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    frame = rows("000001", "平安 'x'", known_at=pd.Timestamp("2018-01-02 21:00", tz="UTC"), n=[1, 2], flag=[True, False], note=[None, "b"])
    frame["x"] = [np.nan, -1e308]
    assert lake.append("raw/沪 深", frame) == 0
    found = lake.read("raw/沪 深").sort_values("n", ignore_index=True)
    assert list(found.columns) == list(frame.columns)
    assert found["entity"].tolist() == ["000001", "平安 'x'"]
    assert str(found["entity"].dtype) == "str"
    assert found["time"].dtype == "datetime64[us]"
    assert str(found["known_at"].dtype) == "datetime64[us, UTC]"
    assert found["known_at"].iloc[0] == pd.Timestamp("2018-01-02 21:00", tz="UTC")
    assert np.isnan(found["x"].iloc[0])
    assert found["x"].iloc[1] == -1e308
    assert found["flag"].tolist() == [True, False]
    assert pd.isna(found["note"].iloc[0])
    assert found["note"].iloc[1] == "b"


@pytest.mark.parametrize("doubled", [False, True])
def test_a_wide_table_comes_back_whole(tmp_path: Path, doubled: bool) -> None:
    """In groups of columns, put together by the keys; in one piece where a row is there twice and keys do not tell which is which."""
    lake, count = Lake(str(tmp_path / "lake")), 2 * GROUP + 7
    random = np.random.default_rng(1)
    for year in (2018, 2019):
        frame = pd.DataFrame(random.random((40, count)), columns=[f"x{place}" for place in range(count)])
        frame.insert(0, "entity", pd.array([f"e{number:02d}" for number in random.permutation(40)], dtype="str"))
        frame.insert(1, "time", pd.Timestamp(f"{year}-01-02").as_unit("us"))
        frame = frame.assign(note=pd.array(["ä", None] * 20, dtype="str"), period=str(year)).astype({"period": "str"})
        if doubled:
            frame.loc[1, ["entity"]] = frame.loc[0, "entity"]
        lake.append("raw/a", frame)
        if year == 2019:
            found = lake.read("raw/a", where=f"time > {literal(pd.Timestamp('2018-06-01'))}")
            sort = ["entity", "x0"]
            pd.testing.assert_frame_equal(found.sort_values(sort, ignore_index=True), frame.sort_values(sort, ignore_index=True))
    whole = lake.read("raw/a")
    assert whole.shape == (80, count + 4)
    some = [f"x{place}" for place in range(count - 1, 0, -2)] + ["time"]
    again = lake.read("raw/a", columns=some)
    assert list(again.columns) == some
    assert set(map(tuple, again.to_numpy())) == set(map(tuple, whole[some].to_numpy()))


def test_no_table_is_an_empty_frame_and_an_empty_append_writes_nothing(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    assert not lake.exists("raw/a")
    assert lake.version("raw/a") is None
    assert list(lake.read("raw/a", columns=["x", "y"]).columns) == ["x", "y"]
    assert lake.append("raw/a", rows()) == -1
    assert lake.replace("raw/a", rows(), "x = 1") == -1
    assert not (tmp_path / "lake").exists()
    with pytest.raises(StateError, match="version 3"):
        lake.read("raw/a", version=3)
    lake.append("raw/a", rows("a"))
    assert lake.append("raw/a", rows()) == 0
    assert lake.version("raw/a") == 0


def test_where_takes_any_text_and_both_kinds_of_time(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    frame = rows("a'b", "c", known_at=pd.to_datetime(["2018-01-02 21:00", "2018-01-03 21:00"]).tz_localize("UTC"))
    frame["time"] = pd.to_datetime(["2018-01-02", "2018-01-03"])
    lake.append("raw/a", frame)
    for condition, expected in (
        ("entity = " + literal("a'b"), ["a'b"]),
        ("entity = " + literal("x' OR 1=1 --"), []),
        (f"time > {literal(pd.Timestamp('2018-01-02'))}", ["c"]),
        (f"known_at <= {literal(pd.Timestamp('2018-01-02 16:00', tz='America/New_York'))}", ["a'b"]),
        (f"known_at < {literal(pd.Timestamp('2018-01-02 21:00', tz='UTC'))}", []),
    ):
        assert lake.read("raw/a", columns=["entity"], where=condition)["entity"].tolist() == expected


def test_a_conditional_append_takes_the_very_next_version_or_nothing(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    assert lake.append("p", rows("a"), expected_version=None) == 0
    assert lake.append("p", rows("b"), expected_version=0) == 1
    for expected in (None, 0, 2):
        with pytest.raises(ConflictError, match="found version 1"):
            lake.append("p", rows("c"), expected_version=expected)
    with pytest.raises(ConflictError, match="no table"):
        lake.append("q", rows("c"), expected_version=0)
    assert sorted(lake.read("p")["entity"]) == ["a", "b"]
    assert lake.read("p", version=0)["entity"].tolist() == ["a"]


def test_one_of_many_processes_makes_a_table(tmp_path: Path) -> None:
    said = processes(
        tmp_path,
        5,
        """
try:
    print("made", lake.append("p", rows(), expected_version=None))
except ConflictError:
    print("conflict")
""",
    )
    assert sorted(said) == ["conflict"] * 4 + ["made 0"]
    assert len(Lake(str(tmp_path / "lake")).read("p")) == 1


def test_of_conditional_appends_by_processes_one_wins_each_version(tmp_path: Path) -> None:
    Lake(str(tmp_path / "lake")).append("p", pd.DataFrame({"entity": ["first"], "number": [-1], "wanted": [-1]}))
    said = processes(
        tmp_path,
        4,
        """
won, lost = [], 0
while len(won) < 5:
    version = lake.version("p")
    try:
        won.append(lake.append("p", rows(wanted=version), expected_version=version))
        assert won[-1] == version + 1, (won, version)
    except ConflictError:
        lost += 1
print(won, lost)
""",
    )
    found = Lake(str(tmp_path / "lake")).read("p")
    assert sorted(found["wanted"]) == list(range(-1, 20))  # each version was the base of one commit and no more
    won = [int(version) for line in said for version in re.findall(r"\d+", line.split("]")[0])]
    assert sorted(won) == list(range(1, 21))
    assert sum(int(line.split()[-1]) for line in said) > 0, "no conflict ever happened: the processes did not meet"


def test_plain_appends_and_replacements_by_processes_all_arrive_once(tmp_path: Path) -> None:
    processes(
        tmp_path,
        4,
        """
for step in range(5):
    lake.append("a", rows(step=step, period="2018"))
    lake.replace("b", rows(step=step, period="2018"), f"number = {number}")
""",
    )
    lake = Lake(str(tmp_path / "lake"))
    assert sorted(zip(lake.read("a")["number"], lake.read("a")["step"], strict=True)) == [(n, s) for n in range(4) for s in range(5)]
    assert sorted(zip(lake.read("b")["number"], lake.read("b")["step"], strict=True)) == [(n, 4) for n in range(4)]


def test_replacing_twice_leaves_one_copy_and_refuses_rows_that_do_not_belong(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.append("a", rows("a", "b", "c", period=["2017", "2018", "2018"]))
    new = rows("d", period=["2018"])
    for _ in range(2):
        lake.replace("a", new, "period = '2018'")
        assert sorted(lake.read("a")["entity"]) == ["a", "d"]
    before = lake.version("a")
    with pytest.raises(StateError, match="period = '2017'"):
        lake.replace("a", new, "period = '2017'")
    assert lake.version("a") == before
    lake.replace("a", rows(period=[]), "period = '2018'")
    assert lake.read("a")["entity"].tolist() == ["a"]
    assert sorted(lake.read("a", version=0)["entity"]) == ["a", "b", "c"]


def test_columns_may_be_added_and_types_may_not_change(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.append("a", rows("a"))
    lake.append("a", rows("b", more=[7.0]))
    assert lake.read("a", where="more = 7")["entity"].tolist() == ["b"]
    assert lake.append("a", rows("c", x=[1])) == 2  # a whole number is a number
    for wrong in ("1.5", "many"):
        with pytest.raises(StateError, match=r"column 'x'.*double"):
            lake.append("a", rows("c", x=[wrong]))
    with pytest.raises(StateError, match="column 'entity'"):
        lake.append("a", rows("c", entity=[5]))
    lake.append("b", rows("a", period=["2018"]))
    with pytest.raises(StateError, match="period"):
        lake.append("b", rows("a"))


def test_a_table_of_another_schema_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    lake = Lake(str(tmp_path / "lake"))
    write_deltalake(tmp_path / "lake" / "old", rows("a"), description="finflow schema 99")
    write_deltalake(tmp_path / "lake" / "strange", rows("a"))
    for table, told in (("old", "finflow schema 99"), ("strange", "no finflow schema")):
        for action in (lambda table: lake.read(table), lambda table: lake.append(table, rows("a"))):
            with pytest.raises(StateError, match=told):
                action(table)
    lake.append("broken", rows("a"))
    (tmp_path / "lake" / "broken" / "_delta_log" / f"{0:020}.json").write_text("{")
    with pytest.raises(StateError, match="broken"):
        lake.read("broken")


def _age_log(table: Path, days: int) -> None:
    """Let every log entry look as if it had been written so many days ago: its file's age, and the times inside."""
    past = time.time() - days * 86_400
    for entry in (table / "_delta_log").iterdir():
        if entry.suffix == ".json":
            text = re.sub(r'"timestamp":\d+', f'"timestamp":{int(past * 1000)}', entry.read_text())
            entry.write_text(text)
        os.utime(entry, (past, past))


def test_versions_stay_readable_when_their_log_entries_are_old(tmp_path: Path) -> None:
    """40 days; a table without our settings loses them, so the test sees the danger that it is about."""
    from deltalake import DeltaTable, write_deltalake

    lake = Lake(str(tmp_path / "lake"))
    for number in range(4):
        lake.append("a", rows(f"e{number}"))
        write_deltalake(tmp_path / "lake" / "plain", rows(f"e{number}"), mode="append")
    for name in ("a", "plain"):
        table = tmp_path / "lake" / name
        _age_log(table, 40)
        DeltaTable(table).create_checkpoint()
        for number in range(4, 7):
            write_deltalake(table, rows(f"e{number}"), mode="append")
        DeltaTable(table).cleanup_metadata()
    for version in range(7):
        assert sorted(lake.read("a", version=version)["entity"]) == [f"e{number}" for number in range(version + 1)]
    assert not (tmp_path / "lake" / "plain" / "_delta_log" / f"{0:020}.json").exists()


def test_short_processes_end_well(tmp_path: Path) -> None:
    """Arrow's dataset scan aborts some processes at exit; ours must not take that way."""
    program = f"""
import pandas as pd
from finflow.pipelines.lake.lake import Lake
lake = Lake({str(tmp_path / "lake")!r})
lake.append("a", pd.DataFrame({{"x": range(1000), "t": "some text", "period": "2018"}}))
lake.replace("a", pd.DataFrame({{"x": [1], "t": ["y"], "period": ["2019"]}}), "period = '2019'")
print(len(lake.read("a", where="x >= 500")))
"""
    for number in range(1, 7):
        done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(500 * number), "")


def test_a_writer_that_is_killed_leaves_whole_commits(tmp_path: Path) -> None:
    program = f"""
import pandas as pd
from finflow.pipelines.lake.lake import Lake
lake = Lake({str(tmp_path / "lake")!r})
for number in range(100_000):
    print(lake.append("a", pd.DataFrame({{"number": [number] * 10}})), flush=True)
"""
    process = warm.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(5)]
    process.kill()
    told += [int(line) for line in process.stdout]
    process.wait()
    lake = Lake(str(tmp_path / "lake"))
    version = lake.version("a")
    assert version is not None
    assert version in (told[-1], told[-1] + 1)
    assert lake.read("a")["number"].value_counts().to_dict() == dict.fromkeys(range(version + 1), 10)
    assert lake.append("a", pd.DataFrame({"number": [-1]})) == version + 1


def test_the_log_says_how_long_it_is_kept(tmp_path: Path) -> None:
    Lake(str(tmp_path / "lake")).append("a", rows("a"))
    entry = (tmp_path / "lake" / "a" / "_delta_log" / f"{0:020}.json").read_text().splitlines()
    metadata = next(json.loads(line)["metaData"] for line in entry if "metaData" in line)
    assert metadata["configuration"] == {
        "delta.logRetentionDuration": "interval 3650 days",
        "delta.deletedFileRetentionDuration": "interval 3650 days",
    }
