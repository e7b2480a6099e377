"""Tables of rows that are nobody's twice: no header, no id, no time, text among the columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources import CsvSource, ParquetSource

GERMAN = "A11 6 A34 1169\nA12 48 A32 5951\nA14 12 A34 2096\n"
SETTINGS: dict[str, Any] = {
    "delimiter": " ",
    "names": ("account", "months", "history", "amount"),
    "text": ("account", "history"),
    "numbered": "applicant",
    "date": "2008-01-01",
}


def read(tmp_path: Path, content: str, file: str = "german.data", **changes: Any) -> pd.DataFrame:
    (tmp_path / file).write_text(content)
    return CsvSource(path=str(tmp_path / file), **{**SETTINGS, **changes}).read()


def test_a_file_without_header_id_and_time(tmp_path: Path) -> None:
    found = read(tmp_path, GERMAN)
    assert list(found.columns) == ["entity", "time", "account", "months", "history", "amount"]
    assert found["entity"].tolist() == ["applicant-000001", "applicant-000002", "applicant-000003"]
    assert set(found["time"]) == {pd.Timestamp("2008-01-01")}
    assert (found["entity"].dtype, found["time"].dtype) == (pd.Series([], dtype="str").dtype, np.dtype("datetime64[us]"))
    assert found["account"].tolist() == ["A11", "A12", "A14"]
    assert found["amount"].tolist() == [1169.0, 5951.0, 2096.0]


def test_the_real_file(shared_data: Path) -> None:
    names = tuple(f"x{place}" for place in range(21))
    text = tuple(f"x{place}" for place in (0, 2, 3, 5, 6, 8, 9, 11, 13, 14, 16, 18, 19))
    found = CsvSource(path=str(shared_data / "credit_german" / "german.data"), **{**SETTINGS, "names": names, "text": text}).read()
    assert len(found) == found["entity"].nunique() == 1000
    assert found["x20"].value_counts().to_dict() == {1.0: 700, 2.0: 300}
    assert found["x0"].nunique() == 4


def test_names_are_headers_like_others(tmp_path: Path) -> None:
    found = read(tmp_path, GERMAN, columns={"duration": "months"}, ignore=("history",), text=("account",), skip_rows=1)
    assert set(found.columns) == {"entity", "time", "duration", "account", "amount"}
    assert found["duration"].tolist() == [48.0, 12.0]
    only = read(tmp_path, GERMAN, columns={"duration": "months"}, ignore=("*",), text=())
    assert set(only.columns) == {"entity", "time", "duration"}
    dated = read(tmp_path, "2018-01-02,7\n", names=("Date", "x"), text=(), date=None, delimiter=",", file="acme.csv")
    assert dated["time"].tolist() == [pd.Timestamp("2018-01-02")]


def test_numbers_go_on_from_file_to_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("x\n1\n2\n")
    source = {"columns": {"x": "x"}, "numbered": "claim", "date": "2020-02-29"}
    found = CsvSource(path=str(tmp_path), **source).read()  # type: ignore[arg-type]
    assert found["entity"].tolist() == ["claim-000001", "claim-000002", "claim-000003", "claim-000004"]
    pd.DataFrame({"x": [1.0, 2.0]}).to_parquet(tmp_path / "c.parquet")
    found = ParquetSource(path=str(tmp_path / "c.parquet"), **source).read()  # type: ignore[arg-type]
    assert found["entity"].tolist() == ["claim-000001", "claim-000002"]
    assert found["time"].tolist() == [pd.Timestamp("2020-02-29")] * 2


def test_a_column_called_date_is_no_time_where_the_date_is_given(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not name column 'date'"):
        read(tmp_path, "date,x\n2018-01-02,1\n", names=(), text=(), delimiter=",", columns={"x": "x"})


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="data row 2: has 3 cells under 4 `names`"):
        read(tmp_path, "A11 6 A34 1169\nA12 48 A32\n")
    with pytest.raises(SourceError, match="data row 2, column 'months': 'x48' is no number"):
        read(tmp_path, "A11 6 A34 1169\nA12 x48 A32 5951\n")
    with pytest.raises(SourceError, match=r"no column is the time.*`date: 2020-01-01`"):
        read(tmp_path, GERMAN, date=None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"names": ["a", "a "]}, "names: a stands there twice"),
        ({"names": ["a", ""]}, "one of them is empty"),
        ({"names": ["a/b"]}, "column 'a/b'"),
        ({"entity": "ACME"}, "not both"),
        ({"columns": {"entity": "account"}}, "not both"),
        ({"columns": {"time": "account"}}, "give `date` or map a time column"),
        ({"numbered": "a/b"}, "entity 'a/b'"),
        ({"columns": {"Account": "a", "account": "b"}}, "account, Account differ in capitals alone"),
        ({"columns": {"Period": "a"}}, "column 'Period' is finflow's own"),
        ({"names": [], "text": [], "wide": "close"}, "leave out `numbered` and `date`"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        CsvSource(path="a.csv", **{**SETTINGS, **changes})


def test_ten_thousand_columns(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(10_000)]
    rows = "\n".join(",".join(str(place % 7) for place in range(row, row + 10_000)) for row in range(20))
    wide = {"delimiter": ",", "names": tuple(names), "text": ()}
    with pytest.raises(SourceError, match=r"10,000 columns, more than the 2,000.*`maximum_columns`"):
        read(tmp_path, rows, **wide)
    found = read(tmp_path, rows, **wide, maximum_columns=10_000)
    assert found.shape == (20, 10_002)
    assert found["c9999"].tolist() == [float((row + 9_999) % 7) for row in range(20)]
