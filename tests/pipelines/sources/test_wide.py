"""Wide files: a column an entity, as central banks publish rates. Written here in the shape of the European Central Bank's."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources import CsvSource, ParquetSource

RATES = """\
Date,USD,JPY,EEK,RUB,
2022-03-02,1.1106,128.1,N/A,N/A,
2022-03-01,1.1162,128.3,N/A,117.201,
2010-12-31,1.3362,108.65,15.6466,40.82,
1999-01-04,1.1789,133.73,15.6466,N/A,
"""


def rates(tmp_path: Path, text: str = RATES, file: str = "rates.csv", **settings: Any) -> pd.DataFrame:
    (tmp_path / file).write_text(text, encoding="utf-8")
    return CsvSource(path=str(tmp_path / file), wide="close", **settings).read()


def by_entity(found: pd.DataFrame) -> dict[str, list[tuple[str, float]]]:
    return {
        str(entity): [(f"{row.time:%Y-%m-%d}", row.close) for row in own.sort_values("time").itertuples()]
        for entity, own in found.groupby("entity")
    }


def test_columns_are_entities_and_empty_cells_are_no_rows(tmp_path: Path) -> None:
    found = rates(tmp_path)
    assert list(found.columns) == ["entity", "time", "close"]
    assert [str(kind) for kind in found.dtypes] == ["str", "datetime64[us]", "float64"]
    own = by_entity(found)
    assert own["USD"] == [("1999-01-04", 1.1789), ("2010-12-31", 1.3362), ("2022-03-01", 1.1162), ("2022-03-02", 1.1106)]
    assert own["EEK"] == [("1999-01-04", 15.6466), ("2010-12-31", 15.6466)], "it went with the euro"
    assert own["RUB"] == [("2010-12-31", 40.82), ("2022-03-01", 117.201)], "it began late and was taken off"
    assert set(own) == {"USD", "JPY", "EEK", "RUB"}, "the comma at the ends of lines is no column"


def test_some_of_the_columns(tmp_path: Path) -> None:
    assert set(by_entity(rates(tmp_path, ignore=("EEK", "RUB", "XXX")))) == {"USD", "JPY"}
    chosen = rates(tmp_path, columns={"dollar": "USD", "yen": "JPY"}, ignore=("*",))
    assert set(by_entity(chosen)) == {"dollar", "yen"}
    assert set(by_entity(rates(tmp_path, columns={"dollar": "USD"}, ignore=("EEK", "RUB")))) == {"dollar", "JPY"}


def test_a_folder_packed_files_and_other_values(tmp_path: Path) -> None:
    folder = tmp_path / "rates"
    folder.mkdir()
    header, *lines = RATES.splitlines(keepends=True)
    (folder / "new.csv").write_text(header + "".join(lines[:2]), encoding="utf-8")
    with gzip.open(folder / "old.csv.gz", "wt") as packed:
        packed.write(header.replace(",EEK", ",LTL") + "".join(lines[2:]))
    found = CsvSource(path=str(folder), wide="rate").read()
    assert len(found) == 4 + 4 + 2 + 2
    assert found.groupby("entity")["rate"].size().to_dict() == {"USD": 4, "JPY": 4, "RUB": 2, "LTL": 2}


def test_headers_that_elsewhere_are_finflows_own_are_entities(tmp_path: Path) -> None:
    found = rates(tmp_path, "time,open,volume,known_at\n2018-01-02,1,2,2018-01-03T10:00:00Z\n")
    assert sorted(found["entity"]) == ["open", "volume"]
    assert (found["known_at"] == pd.Timestamp("2018-01-03 10:00", tz="UTC")).all()


def test_the_path_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates(tmp_path)
    monkeypatch.setenv("SOME_RATES", str(tmp_path))
    assert len(CsvSource(path="${SOME_RATES}", wide="close").read()) == 12


def test_wide_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"date": pd.to_datetime(["2018-01-03", "2018-01-02"]), "A": [1.0, 2.0], "B": [None, 3.0]})
    frame.to_parquet(tmp_path / "wide.parquet", index=False)
    found = ParquetSource(path=str(tmp_path / "wide.parquet"), wide="close").read()
    assert by_entity(found) == {"A": [("2018-01-02", 2.0), ("2018-01-03", 1.0)], "B": [("2018-01-02", 3.0)]}


@pytest.mark.parametrize(
    ("text", "settings", "told"),
    [
        (RATES, {"columns": {"JPY": "USD"}}, "'JPY' has the name that `columns` gives to another column"),
        (RATES, {"ignore": ("*",)}, "no column beside the time is left to be an entity"),
        (RATES, {"columns": {"pound": "GBP"}}, r"no column 'GBP' \(the definition's `pound`\)"),
        (RATES.replace("1.1162", "soon"), {}, "data row 2, column 'USD': 'soon' is no number"),
        (RATES, {"maximum_rows": 11}, "12 rows, more than the 11"),
        ("Date,USD\n2018-01-02,N/A\n", {}, "no row under the header"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, text: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceError, match=told):
        rates(tmp_path, text, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"wide": "entity"},
        {"wide": "time"},
        {"wide": "period"},
        {"wide": "close", "entity": "X"},
        {"wide": "close", "columns": {"entity": "A"}},
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="wide"):
        CsvSource(path="x.csv", **settings)
