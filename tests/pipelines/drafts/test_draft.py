"""`finflow init FILE`: what is drafted loads, meets its contract and has folds to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.core.errors import FinflowError, NotEnoughHistoryError, SourceError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.drafts.prices import draft_definition
from finflow.pipelines.sources import SimulatedSource
from tests.support.pipelines.drafts import can_train


def bars(calendar: str | None = "XNYS", days: int = 1300, entities: int = 1) -> pd.DataFrame:
    return SimulatedSource(process="garch", days=days, entities=entities, calendar=calendar, start="2012-01-03", seed=2).read()  # type: ignore[arg-type]


def drafted(tmp_path: Path, file: Path, name: str | None = None) -> Definition:
    text = draft_definition(file, name)
    path = tmp_path / "drafted.yaml"
    path.write_text(text, encoding="utf-8")
    made = load_definition(str(path))
    assert yaml.safe_load(text)["name"] == made.name
    return made


def test_an_english_file_of_one_entity(tmp_path: Path, home: Home) -> None:
    file = tmp_path / "Acme Corp.csv"
    frame = (
        bars()
        .drop(columns="entity")
        .rename(columns={"time": "Date", "close": "Close/Last", "volume": "Volume"})
        .assign(**{"Adj Close": 1.0})
    )
    frame.to_csv(file, index=False)
    made = drafted(tmp_path, file)
    assert made.name == "acme-corp"
    assert made.calendar == "XNYS"
    assert made.source.columns == {"time": "Date", "open": "open", "high": "high", "low": "low", "close": "Close/Last", "volume": "Volume"}
    assert made.source.ignore == ("Adj Close",)
    assert can_train(made, home) == 5


def test_a_chinese_file_of_many_entities(tmp_path: Path, home: Home) -> None:
    headers = {"entity": "股票代码", "time": "日期", "open": "开盘", "close": "收盘", "high": "最高", "low": "最低", "volume": "成交量"}
    frame = bars("XSHG", days=1100, entities=2).replace({"entity": {"S1": "000001", "S2": "600000"}})
    file = tmp_path / "沪深 行情.csv"
    text = frame.assign(time=frame["time"].dt.strftime("%Y%m%d"), 名称="平安").rename(columns=headers).to_csv(index=False)
    file.write_bytes(text.encode("gb18030"))
    made = drafted(tmp_path, file)
    assert made.name == "沪深-行情"
    assert made.source.encoding == "gb18030"
    assert made.source.ignore == ("名称",)
    assert made.calendar == "XSHG"
    assert made.contract.price_limit == 0.1
    assert can_train(made, home) == 5
    from finflow.pipelines.lake.lake import Lake

    assert sorted(Lake(home.lake).read(f"raw/{made.name}")["entity"].unique()) == ["000001", "600000"]


def test_a_european_file(tmp_path: Path) -> None:
    frame = bars("XLON").drop(columns="entity")
    lines = ["Datum-ignored;Date;Open;High;Low;Price"]
    for row in frame.itertuples():
        numbers = ";".join(
            f"{getattr(row, name) * 100:,.2f}".translate(str.maketrans(",.", ".,")) for name in ("open", "high", "low", "close")
        )
        lines.append(f"x;{row.time:%d.%m.%Y};{numbers}")
    file = tmp_path / "ftse.csv"
    file.write_bytes("\r\n".join(lines).encode("cp1252"))
    made = drafted(tmp_path, file, "london")
    source = made.source
    assert (made.name, source.delimiter, source.decimal, source.thousands, source.date_format) == ("london", ";", ",", ".", "%d.%m.%Y")
    assert made.calendar == "XLON"
    assert made.source.read()["close"].to_numpy() == pytest.approx(frame["close"].to_numpy() * 100, abs=0.005)


@pytest.mark.parametrize(
    ("shape", "expected"), [("%d/%m/%Y", "%d/%m/%Y"), ("%m/%d/%Y", "%m/%d/%Y"), ("%b %d, %Y", "%b %d, %Y"), ("%Y/%m/%d", None)]
)
def test_the_form_of_dates_is_seen(tmp_path: Path, shape: str, expected: str | None) -> None:
    frame = bars(days=320).drop(columns="entity")
    frame.assign(time=frame["time"].dt.strftime(shape)).to_csv(tmp_path / "a.csv", index=False)
    made = drafted(tmp_path, tmp_path / "a.csv")
    assert made.source.date_format == expected
    assert made.source.read()["time"].tolist() == frame["time"].tolist()


def test_a_monthly_series_and_one_below_zero(tmp_path: Path, home: Home) -> None:
    months = pd.date_range("1960-01-01", periods=600, freq="MS")
    walk = np.random.default_rng(0).normal(size=600).cumsum()
    pd.DataFrame({"Date": months, "Rate": walk}).to_csv(tmp_path / "rate.csv", index=False)
    made = drafted(tmp_path, tmp_path / "rate.csv")
    assert made.calendar == "month-start"
    assert made.problem.transform == "none"
    assert made.contract.allow_negative
    assert (made.contract.maximum_gap, made.window.maximum_gap) == (5, 5), "months, not days"
    assert {feature.kind for feature in made.features} == {"change", "month_sin", "month_cos"}
    assert can_train(made, home) == 5


def test_a_parquet_file(tmp_path: Path, home: Home) -> None:
    bars(days=400).rename(columns={"entity": "Symbol", "time": "Date"}).to_parquet(tmp_path / "a.parquet", index=False)
    made = drafted(tmp_path, tmp_path / "a.parquet")
    assert made.source.kind == "parquet"
    assert made.source.columns["entity"] == "Symbol"
    assert can_train(made, home) >= 2


@pytest.mark.parametrize(
    ("content", "name", "error", "told"),
    [
        ("", None, SourceError, "is empty"),
        ("date,close\n", None, SourceError, "a header alone"),
        ("name,close\nx,1\n", None, SourceError, "no column looks like dates"),
        ("date,name\n2018-01-02,x\n", None, SourceError, "no column looks like closing prices"),
        ("date,close\n03/04/2018,1\n", None, SourceError, "may be %d/%m/%Y or %m/%d/%Y"),
        ("date,close\nsoon,1\n", None, SourceError, "'soon' is no date"),
        ("date,close\n2018-01-02,high\n", None, SourceError, "'high' is no number"),
        ("date,close\n2018-01-02,1\n", None, NotEnoughHistoryError, "1 rows of one entity; a draft needs at least 300"),
        ("date,close\n" + "2018-01-02,1\n" * 400, None, SourceError, "share entity and date"),
        ("good", "Up/../per", FinflowError, "definition name"),
        (b"\x00\x01\x02\xff" * 50, None, SourceError, "no text file"),
    ],
)
def test_what_cannot_be_drafted(tmp_path: Path, content: str | bytes, name: str | None, error: type[Exception], told: str) -> None:
    file = tmp_path / "a.csv"
    if content == "good":
        bars(days=320).to_csv(file, index=False)
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=told) as caught:
        draft_definition(file, name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.csv: there is no such file"):
        draft_definition(tmp_path / "nowhere.csv", None)


@pytest.mark.parametrize(
    ("code", "found"), [("XNYS", "XNYS"), ("XTKS", "XTKS"), ("XHKG", "XHKG"), ("24/7", "24/7"), ("month-end", "month-end"), (None, None)]
)
def test_the_calendar_is_told_from_the_dates(code: str | None, found: str | None) -> None:
    from finflow.pipelines.drafts.prices import _calendar

    days = pd.Series(sessions(code, "2012-01-01", "2016-12-31"))
    assert _calendar(days) == found
    gaps: Any = np.random.default_rng(0).random(len(days)) > 0.01
    assert _calendar(days[gaps].reset_index(drop=True)) == found


def test_real_files_are_drafted(shared_data: Path, tmp_path: Path) -> None:
    for name, calendar in (("vix-daily", "XNYS"), ("wti-daily", "XNYS"), ("brent-daily", None), ("gold-monthly", "month-start")):
        made = drafted(tmp_path, shared_data / "market" / f"{name}.csv")
        assert (made.name, made.calendar) == (name, calendar)
