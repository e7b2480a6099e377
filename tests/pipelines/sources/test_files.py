"""CSV and Parquet: what can be read is read right, and what cannot ends in one message that names the place and the remedy."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources import CsvSource, ParquetSource

CHINESE = """\
日期,代码,名称,开盘,收盘,最高,最低,成交量
20180102,000001,平安银行,13.35,13.70,13.93,13.32,2081592
20180103,000001,平安银行,13.73,13.33,13.86,13.20,0
"""
CHINESE_COLUMNS = {"time": "日期", "entity": "代码", "open": "开盘", "close": "收盘", "high": "最高", "low": "最低", "volume": "成交量"}


def csv(tmp_path: Path, content: str | bytes, *, file: str = "acme.csv", **settings: Any) -> pd.DataFrame:
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvSource(path=str(tmp_path / file), **settings).read()


def parquet(tmp_path: Path, frame: pd.DataFrame, *, file: str = "acme.parquet", **settings: Any) -> pd.DataFrame:
    frame.to_parquet(tmp_path / file, index=False)
    return ParquetSource(path=str(tmp_path / file), **settings).read()


def closes(frame: pd.DataFrame) -> list[tuple[str, str, float]]:
    return [(row.entity, str(row.time), row.close) for row in frame.itertuples()]


def test_standard_headers_need_no_mapping_and_the_file_names_the_entity(tmp_path: Path) -> None:
    found = csv(tmp_path, "DATE,Open,HIGH,low,Close,Volume\n2018-01-02,1,2,.5,1.5,1e3\n2018/1/3,,,,NA,0\n")
    assert set(found.columns) == {"entity", "time", "open", "high", "low", "close", "volume"}
    assert found["entity"].tolist() == ["acme", "acme"]
    assert found["time"].dtype == "datetime64[us]"
    assert found["time"].tolist() == [pd.Timestamp("2018-01-02"), pd.Timestamp("2018-01-03")]
    assert found["volume"].tolist() == [1000.0, 0.0]
    assert found[["open", "high", "low", "close"]].iloc[1].isna().all()


@pytest.mark.parametrize(("encoding", "said"), [("gb18030", "gb18030"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("gbk", "GBK")])
def test_chinese_files_are_read_and_codes_stay_text(tmp_path: Path, encoding: str, said: str) -> None:
    folder = tmp_path / "行情 数据"
    folder.mkdir()
    found = csv(folder, CHINESE.encode(encoding), file="平安.csv", encoding=said, columns=CHINESE_COLUMNS, ignore=("名称",))
    assert closes(found) == [("000001", "2018-01-02 00:00:00", 13.70), ("000001", "2018-01-03 00:00:00", 13.33)]
    kept = csv(
        folder, CHINESE.encode(encoding), file="平安.csv", encoding=said, columns={**CHINESE_COLUMNS, "name": "名称"}, text=("name",)
    )
    assert kept["name"].tolist() == ["平安银行"] * 2


def test_decimal_commas_and_thousands(tmp_path: Path) -> None:
    found = csv(
        tmp_path, "date;close\n2018-01-02;1.234,5\n2018-01-03;-7,25\n2018-01-04;1.234.567\n", delimiter=";", decimal=",", thousands="."
    )
    assert found["close"].tolist() == [1234.5, -7.25, 1234567.0]
    assert csv(tmp_path, 'date,close\n2018-01-02,"1,234.5"\n', thousands=",")["close"].tolist() == [1234.5]


def test_extreme_numbers_arrive_for_the_contract_to_judge(tmp_path: Path) -> None:
    found = csv(tmp_path, "date,close\n2018-01-02,inf\n2018-01-03,-1e308\n2018-01-04,NaN\n2018-01-05,-37.63\n")
    np.testing.assert_equal(found["close"].to_numpy(), [np.inf, -1e308, np.nan, -37.63])


def test_a_code_may_be_called_na(tmp_path: Path) -> None:
    found = csv(tmp_path, "date,entity,close\n2018-01-02,NA,1\n2018-01-02,null,2\n2018-01-02, 007 ,3\n")
    assert found["entity"].tolist() == ["NA", "null", "007"]


@pytest.mark.parametrize(
    ("texts", "settings", "expected"),
    [
        (["2018-01-02", "20180103", "2018/01/04", "2018年1月5日"], {}, ["2018-01-02", "2018-01-03", "2018-01-04", "2018-01-05"]),
        (["03/04/2018"], {"date_format": "%d/%m/%Y"}, ["2018-04-03"]),
        (["2018-01-02 00:00:00", "2018-07-02T00:00"], {}, ["2018-01-02", "2018-07-02"]),
        (["2018-01-02T00:00:00Z"], {}, ["2018-01-02"]),
        # Midnights in New York, in winter and in summer, are session dates ...
        (["2018-01-02T00:00:00-05:00", "2018-07-02T00:00:00-0400"], {"timezone": "America/New_York"}, ["2018-01-02", "2018-07-02"]),
        (["2018-01-01T16:00:00Z", "2018-01-02T16:00:00Z"], {"timezone": "Asia/Shanghai"}, ["2018-01-02", "2018-01-03"]),
        # ... and other clock times are instants.
        (
            ["2018-01-02 09:30:00.250", "2018-07-02 09:30"],
            {"timezone": "America/New_York"},
            ["2018-01-02 14:30:00.250", "2018-07-02 13:30"],
        ),
        (["2018-01-02T09:30:00-05:00"], {"timezone": "Europe/Berlin"}, ["2018-01-02 14:30"]),
    ],
)
def test_dates_and_times(tmp_path: Path, texts: list[str], settings: dict[str, Any], expected: list[str]) -> None:
    found = csv(tmp_path, "date,close\n" + "".join(f"{text},1\n" for text in texts), **settings)
    assert found["time"].tolist() == [pd.Timestamp(text) for text in expected]


def test_a_vintage_is_an_instant_in_utc(tmp_path: Path) -> None:
    found = csv(
        tmp_path,
        "date,close,known_at\n2018-01-02,1,2018-01-03 08:00\n2018-01-02,2,2018-02-01T08:00:00+08:00\n2018-01-03,2,\n".replace("+08:00", ""),
    )
    assert str(found["known_at"].dtype) == "datetime64[us, UTC]"
    assert found["known_at"].tolist()[:2] == [pd.Timestamp("2018-01-03 08:00", tz="UTC"), pd.Timestamp("2018-02-01 08:00", tz="UTC")]
    assert found["known_at"].isna().tolist() == [False, False, True]


GOOD = "date,close\n2018-01-02,1\n"
FAULTS: list[tuple[str, str | bytes, dict[str, Any], str]] = [
    ("empty", "", {}, "is empty"),
    ("blank lines", "\n\n", {}, "is empty"),
    ("header only", "date,close\n", {}, "no row under the header"),
    ("no time", "day,close\n1,2\n", {}, r"no column is the time.*'day', 'close'"),
    ("missing", "date,open\n2018-01-02,1\n", {"columns": {"close": "Last"}}, r"no column 'Last'.*'date', 'open'"),
    ("renamed", "date,Lsat\n2018-01-02,1\n", {"columns": {"close": "Last"}}, "Did you mean 'Lsat'"),
    ("extra", "date,close,adjusted\n2018-01-02,1,1\n", {}, r"does not name column 'adjusted'.*ignore"),
    ("duplicate", "date,close,close\n2018-01-02,1,2\n", {}, r"'close' stands over columns 2, 3"),
    ("two candidates", "date,close,Close\n2018-01-02,1,2\n", {}, r"'close' and 'Close' could both be `close`"),
    ("no header", "date,,close\n2018-01-02,3,2\n", {}, "column 2 has no header"),
    ("latin-1", "date,close\n2018-01-02,1\n# Zürich\n".encode("latin-1"), {}, r"line 3: byte 27 is not utf-8.*latin-1"),
    ("utf-16", GOOD.encode("utf-16"), {}, "encoding: utf-16"),
    ("gb18030", CHINESE.encode("gb18030"), {}, "encoding.*gb18030"),
    ("semicolons", "date;close\n2018-01-02;1\n", {}, "delimiter: ';'"),
    ("tabs", "date\tclose\n2018-01-02\t1\n", {}, "delimiter: "),
    (
        "decimal commas",
        "date;close\n2018-01-02;1\n2018-01-03;1,5\n",
        {"delimiter": ";"},
        r"data row 2, column 'close': '1,5'.*decimal: ','",
    ),
    ("decimal dot", "date;close\n2018-01-02;1.5\n", {"delimiter": ";", "decimal": ",", "thousands": "."}, r"'1\.5' is no number"),
    ("unquoted decimal commas", "date,close\n2018-01-02,1,5\n", {}, r"data row 1: has 3 cells under 2 headers"),
    ("short row", "date,close\n2018-01-02,1\n2018-01-03\n", {}, r"data row 2: has 1 cells under 2 headers"),
    ("text", "date,close\n2018-01-02,1\n2018-01-03,closed\n", {}, r"data row 2, column 'close': 'closed' is no number"),
    ("open quote", 'date,close\n"2018-01-02,1\n', {}, "data row 1"),
    ("NUL", "date,close\n2018-01-02,1\0\n", {}, "line 2: holds a NUL"),
    ("two-way date", "date,close\n03/04/2018,1\n", {}, r"'03/04/2018' may be read in two ways.*date_format"),
    ("no such day", "date,close\n2018-02-30,1\n", {}, "'2018-02-30' is no date"),
    ("no date", "date,close\n2018-01-02,1\nyesterday,1\n", {}, r"data row 2, column 'time': 'yesterday' is no date"),
    ("other format", "date,close\n2018-01-02,1\n", {"date_format": "%d/%m/%Y"}, "no date of the form"),
    ("far date", "date,close\n9999-12-31,1\n", {}, "outside the years"),
    ("naive", "date,close\n2018-01-02 09:30,1\n", {}, r"no time zone.*timezone"),
    (
        "mixed zones",
        "date,close\n2018-01-02T09:30:00Z,1\n2018-01-03 09:30,1\n",
        {},
        r"data row 1\) names its time zone.*data row 2\) does not",
    ),
    ("other zone", "date,close\n2018-01-02T09:30:00-05:00,1\n", {}, r"is not in UTC.*timezone"),
    ("skipped hour", "date,close\n2018-03-11 02:30,1\n", {"timezone": "America/New_York"}, "clocks skip"),
    ("doubled hour", "date,close\n2018-11-04 01:30,1\n", {"timezone": "America/New_York"}, "clocks show twice"),
    ("too many rows", "date,close\n" + "2018-01-02,1\n" * 6, {"maximum_rows": 5}, "6 rows, more than the 5"),
    ("too wide", "date,close\n2018-01-02,1\n", {"maximum_columns": 1}, "2 columns, more than the 1"),
]


@pytest.mark.parametrize(("content", "settings", "told"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_fault_is_one_message_that_names_the_file(tmp_path: Path, content: str | bytes, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        csv(tmp_path, content, **settings)
    assert "acme.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_folders_globs_archives_and_urls(tmp_path: Path) -> None:
    (tmp_path / "quotes").mkdir()
    (tmp_path / "quotes" / "b[1].csv").write_text("date,close\n2018-01-02,2\n")
    with gzip.open(tmp_path / "quotes" / "a.csv.gz", "wt") as stream:
        stream.write("date,close\n2018-01-02,1\n")
    with zipfile.ZipFile(tmp_path / "quotes" / "c.txt.zip", "w") as archive:
        archive.writestr("whatever.csv", "date,close\n2018-01-02,3\n")
    (tmp_path / "quotes" / "notes.md").write_text("no data")
    (tmp_path / "quotes" / ".hidden.csv").write_text("no data")
    expected = [("a", "2018-01-02 00:00:00", 1.0), ("b[1]", "2018-01-02 00:00:00", 2.0), ("c", "2018-01-02 00:00:00", 3.0)]
    assert closes(CsvSource(path=str(tmp_path / "quotes")).read()) == expected
    assert closes(CsvSource(path="quotes").resolved(tmp_path).read()) == expected
    assert closes(CsvSource(path=f"file://{tmp_path}/quotes/*.csv*").resolved(tmp_path).read()) == expected[:2]
    assert closes(CsvSource(path=str(tmp_path / "quotes" / "b[1].csv")).read()) == expected[1:2]
    assert closes(CsvSource(path=str(tmp_path / "quotes" / "c.txt.zip"), entity="C & Co").read())[0][0] == "C & Co"


def test_an_object_store_is_read_like_a_folder() -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/finflow-test/a.csv", b"date,close\n2018-01-02,1\n")
    try:
        assert closes(CsvSource(path="memory://finflow-test/*.csv").read()) == [("a", "2018-01-02 00:00:00", 1.0)]
        assert CsvSource(path="memory://finflow-test/a.csv").resolved(Path("/elsewhere")).path == "memory://finflow-test/a.csv"
    finally:
        store.rm("/finflow-test", recursive=True)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nowhere.csv", "no such file"),
        ("none*.csv", "no file matches"),
        ("empty", r"no file in this folder ends in \.csv"),
        ("nope://a/b.csv", "kind of address"),
        ("bad.csv.gz", "not a whole .gz file"),
        ("half.csv.gz", "not a whole .gz file"),
        ("two.zip", "expected one unencrypted file"),
        ("twins", "the same entity 'a'"),
        ("differ", "column 'open' is either here or in"),
        ("direction", "direction"),
    ],
)
def test_paths_that_lead_nowhere(tmp_path: Path, path: str, told: str) -> None:
    for folder in ("empty", "twins", "differ", "direction"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bad.csv.gz").write_bytes(b"no archive")
    (tmp_path / "half.csv.gz").write_bytes(gzip.compress(b"date,close\n2018-01-02,1\n" * 100)[:40])
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    (tmp_path / "twins" / "a.csv").write_text(GOOD)
    (tmp_path / "twins" / "a.txt").write_text(GOOD)
    (tmp_path / "differ" / "a.csv").write_text(GOOD)
    (tmp_path / "differ" / "b.csv").write_text("date,open,close\n2018-01-02,1,1\n")
    (tmp_path / "direction" / "a\u202egnp.csv").write_text(GOOD)
    with pytest.raises(SourceError, match=told) as caught:
        CsvSource(path=path).resolved(tmp_path).read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"path": "a\0b"}, "control character"),
        ({"path": "a.csv", "encoding": "klingon"}, "no text encoding"),
        ({"path": "a.csv", "timezone": "Mars/Olympus"}, "no time zone"),
        ({"path": "a.csv", "timezone": "../../etc/passwd"}, "no time zone"),
        ({"path": "a.csv", "delimiter": ",", "decimal": ","}, "delimiter and decimal"),
        ({"path": "a.csv", "entity": "../up"}, "entity"),
        ({"path": "a.csv", "columns": {"period": "x"}}, "finflow's own"),
        ({"path": "a.csv", "entity": "a", "columns": {"entity": "x"}}, "not both"),
        ({"path": "a.csv", "text": ["close"]}, "type of their own"),
        ({"path": "a.csv", "text": ["sector"]}, "columns"),
        ({"path": "a.csv", "sheet": "x"}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        CsvSource(**settings)


def test_parquet_types_become_those_of_the_raw_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2018-01-02", "2018-01-03"]).tz_localize("America/New_York"),
            "code": pd.Categorical(["000001", "000002"]),
            "last": np.array([1, 2], dtype="int32"),
            "sector": ["bank", None],
            "halted": [True, False],
        }
    )
    columns = {"time": "day", "entity": "code", "close": "last", "sector": "sector", "halted": "halted"}
    found = parquet(tmp_path, frame, columns=columns, text=("sector",))
    assert closes(found) == [("000001", "2018-01-02 00:00:00", 1.0), ("000002", "2018-01-03 00:00:00", 2.0)]
    assert found["close"].dtype == found["halted"].dtype == "float64"
    assert found["sector"].isna().tolist() == [False, True]
    whole = parquet(tmp_path, pd.DataFrame({"date": [20180102, 20180103], "close": [1.0, 2.0]}))
    assert whole["time"].tolist() == [pd.Timestamp("2018-01-02"), pd.Timestamp("2018-01-03")]


@pytest.mark.parametrize(
    ("frame", "settings", "told"),
    [
        ({"date": ["2018-01-02"], "close": ["one"]}, {}, r"column 'close': holds (large_)?string, expected numbers; list it under `text`"),
        ({"date": ["2018-01-02"], "close": [[1.0]]}, {}, "column 'close': holds list"),
        ({"date": [1.5], "close": [1.0]}, {}, "column 'time': holds double"),
        ({"date": [pd.Timestamp("2018-01-02 09:30")], "close": [1.0]}, {}, "no time zone"),
        ({"date": [pd.Timestamp("2250-01-02")], "close": [1.0]}, {}, "outside the years"),
        ({"date": ["2018-01-02"], "close": [1.0], "more": [1.0]}, {}, "does not name column 'more'"),
        ({"date": ["2018-01-02"] * 9, "close": [1.0] * 9}, {"maximum_rows": 8}, "9 rows, more than the 8"),
        ({"date": ["2018-01-02"], "close": [1.0]}, {"maximum_columns": 1}, "2 columns, more than the 1"),
        ({"date": [], "close": []}, {}, "no row under the header|holds"),
    ],
)
def test_parquet_that_does_not_fit(tmp_path: Path, frame: dict[str, Any], settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        parquet(tmp_path, pd.DataFrame(frame), **settings)
    assert "acme.parquet" in str(caught.value)


def test_parquet_cut_anywhere_or_overwritten_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acme.parquet"
    pd.DataFrame({"date": pd.date_range("2018-01-01", periods=500), "close": np.random.default_rng(0).normal(size=500)}).to_parquet(path)
    whole = path.read_bytes()
    for length in (0, 1, 4, 8, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"acme\.parquet"):
            ParquetSource(path=str(path)).read()
    path.write_bytes(b"date,close\n2018-01-02,1\n")
    with pytest.raises(SourceError, match="not a whole Parquet file"):
        ParquetSource(path=str(path)).read()


def test_real_files_are_read(shared_data: Path) -> None:
    wti = CsvSource(path=str(shared_data / "market" / "wti-daily.csv"), columns={"close": "Price"}).read()
    assert wti.loc[wti["time"] == "2020-04-20", "close"].tolist() == [-36.98]
    gas = CsvSource(path=str(shared_data / "market" / "natural-gas-daily.csv"), columns={"close": "Price"}).read()
    assert gas["close"].isna().sum() == 1
    euro = CsvSource(path=str(shared_data / "ecb_fx" / "eurofxref-hist.csv.gz"), columns={"close": "USD"}, ignore=("*",)).read()
    assert len(euro) == 6983
    assert euro.iloc[0]["close"] == 1.1684


def test_no_bad_file_ends_in_anything_but_a_message(shared_data: Path) -> None:
    files = sorted(path for path in (shared_data / "bad_inputs").rglob("*") if path.suffix in (".csv", ".txt"))
    assert len(files) > 50
    for path in files:
        for source in (
            CsvSource(path=str(path)),
            CsvSource(path=str(path), ignore=("*",), columns={"time": "id"}),
            ParquetSource(path=str(path)),
        ):
            with pytest.raises(SourceError) as caught:
                source.read()
            assert "\n" not in str(caught.value)
    for line in (shared_data / "bad_inputs" / "naughty_strings" / "blns.txt").read_text().splitlines():
        content = "date,close\n2018-01-02," + line.replace('"', '""') + "\n"
        _read_or_refuse(content)


def _read_or_refuse(content: str) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/finflow-naughty/a.csv", content.encode("utf-8", "surrogatepass"))
    try:
        CsvSource(path="memory://finflow-naughty/a.csv").read()
    except SourceError as refused:
        message = str(refused)
        assert "\n" not in message
    finally:
        store.rm("/finflow-naughty", recursive=True)
