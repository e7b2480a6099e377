"""The source `sql`: the same rows from SQLite and PostgreSQL as from a file, mapped alike, within limits, without secrets in messages."""

from __future__ import annotations

import datetime
import decimal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy
from pydantic import ValidationError

from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.pseudonyms import VARIABLE
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.sources import sql as module
from finflow.pipelines.sources.sql import SqlSource
from tests.support import files_with, write_definition
from tests.support.postgresql import postgresql
from tests.support.row_support import loan_rows, loan_values

COLUMNS = {"entity": "id", "time": "opened", "amount": "amount", "purpose": "purpose", "late": "late"}
SETTINGS: dict[str, Any] = {"columns": COLUMNS, "text": ("purpose",)}
ROWS = [
    (number, datetime.date(2020, 1, 1 + number), None if number == 3 else 10.5 * number, None if number % 2 else "car:a")
    for number in range(9)
]


def fill(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    kinds: list[Any] = [sqlalchemy.Integer, sqlalchemy.Date, sqlalchemy.Numeric(12, 2), sqlalchemy.String(20), sqlalchemy.Boolean]
    table = sqlalchemy.Table(
        "loans", sqlalchemy.MetaData(), *(sqlalchemy.Column(name, kind) for name, kind in zip(COLUMNS.values(), kinds, strict=True))
    )
    with engine.begin() as connection:
        table.create(connection)
        rows = [(*row[:2], None if row[2] is None else decimal.Decimal(str(row[2])), row[3], row[0] > 4) for row in ROWS]
        connection.execute(table.insert(), [dict(zip(COLUMNS.values(), row, strict=True)) for row in rows])
    engine.dispose()


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'loans.db'}"
    fill(url)
    return url


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql("pass word/7@") as url:
        fill(url)
        yield url


def expected(found: pd.DataFrame) -> None:
    found = found.sort_values("time", ignore_index=True)
    assert found["entity"].tolist() == [str(row[0]) for row in ROWS]
    assert found["time"].tolist() == [pd.Timestamp(row[1]) for row in ROWS]
    assert found["time"].dtype == "datetime64[us]"
    pd.testing.assert_series_equal(found["amount"], pd.Series([row[2] for row in ROWS], dtype="float64", name="amount"))
    assert found["purpose"].isna().tolist() == [row[3] is None for row in ROWS]
    assert set(found["purpose"].dropna()) == {"car:a"}
    assert found["late"].tolist() == [float(row[0] > 4) for row in ROWS]


def test_a_table_of_sqlite(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected(SqlSource(url=sqlite, table="loans", **SETTINGS).read())
    monkeypatch.setattr(module, "PIECE", 2)
    sizes: list[int] = []
    array = SqlSource._array
    monkeypatch.setattr(SqlSource, "_array", lambda self, name, values: (sizes.append(len(values)), array(self, name, values))[1])
    expected(SqlSource(url=sqlite, table="loans", **SETTINGS).read())
    assert set(sizes) == {2, 1}
    assert sizes.count(1) == 5, "the last row alone"


def test_a_table_and_a_query_of_postgresql(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOANS", server)
    source = SqlSource(url="${LOANS}", table="public.loans", **SETTINGS)
    expected(source.read())
    monkeypatch.setattr(module, "PIECE", 2)
    expected(source.read())
    query = "SELECT id, opened, amount, purpose, late FROM loans WHERE purpose = 'car:a' AND opened > '2020-01-02'::date"
    assert SqlSource(url="${LOANS}", query=query, **SETTINGS).read()["entity"].tolist() == ["2", "4", "6", "8"]
    with pytest.raises(SourceError) as raised:
        SqlSource(url="${LOANS}", table="absent", **SETTINGS).read()
    assert "${LOANS}, table absent: cannot be read" in str(raised.value)
    assert "pass" not in str(raised.value)
    with pytest.raises(SourceError, match="data-modifying"):
        SqlSource(url="${LOANS}", query="WITH gone AS (DELETE FROM loans RETURNING *) SELECT * FROM gone", **SETTINGS).read()
    expected(source.read())


def test_rows_without_id_and_time_are_numbered_in_the_order_of_the_query(sqlite: str) -> None:
    query = "select amount, purpose from loans order by id desc"
    columns = {"amount": "amount", "purpose": "purpose"}
    given: dict[str, Any] = {"columns": columns, "text": ("purpose",), "numbered": "loan", "date": "2020-12-31"}
    found = SqlSource(url=sqlite, query=query, **given).read()
    assert found["entity"].tolist()[:2] == ["loan-000001", "loan-000002"]
    assert found["amount"].tolist()[:2] == [84.0, 73.5]
    with pytest.raises(ValidationError, match="ORDER BY"):
        SqlSource(url=sqlite, table="loans", **given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "absent"}, "table absent: cannot be read .*no such table"),
        ({"columns": {**COLUMNS, "amount": "amont"}}, "no column 'amont'.*Did you mean 'amount'"),
        ({"columns": {name: COLUMNS[name] for name in ("entity", "time", "amount", "purpose")}}, "does not name column 'late'"),
        ({"text": ()}, "column 'purpose': holds string, expected numbers; list it under `text`"),
        ({"maximum_rows": 8}, "9 rows, more than the 8"),
        ({"maximum_columns": 4}, "5 columns, more than the 4"),
        ({"maximum_cells": 20}, "at most 20 are read"),
        ({"table": None, "query": "SELECT id, opened, 0 AS late, 1 AS amount, 2 AS purpose FROM loans WHERE id > 99"}, "holds no row"),
        (
            {"table": None, "query": "SELECT id, opened, late, purpose, CASE id WHEN 3 THEN 'x' ELSE 1 END AS amount FROM loans"},
            "column 'amount': holds values of more than one type.*cast it in a query",
        ),
        ({"url": "sqlite:////nowhere/loans.db"}, "there is no such database file"),
    ],
)
def test_faults_are_named(sqlite: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        SqlSource.model_validate({"kind": "sql", "url": sqlite, "table": "loans", **SETTINGS, **changes}).read()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": None}, "give `table` or `query`"),
        ({"query": "SELECT 1"}, "give `table` or `query`"),
        ({"table": None, "query": "DROP TABLE loans"}, "begin with SELECT"),
        ({"table": "loans; DROP TABLE loans"}, "no plain name"),
        ({"url": "postgresql://desk:hunter2@db/loans"}, "holds a password"),
        ({"columns": {"amount": "amount"}, "text": ()}, "map an entity column"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as raised:
        SqlSource.model_validate({"kind": "sql", "url": "sqlite:///loans.db", "table": "loans", **SETTINGS, **changes})
    assert "hunter2" not in str(raised.value)


def test_a_variable_that_is_not_set_and_a_fence(sqlite: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(FinflowError, match="the environment variable NO_SUCH_LOANS"):
        SqlSource(url="${NO_SUCH_LOANS}", table="loans", **SETTINGS).read()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINFLOW_SOURCE_FOLDERS", str(tmp_path))
    with pytest.raises(SourceError, match="outside the folders"):
        SqlSource(url=sqlite, table="loans", **SETTINGS).read()


def test_a_definition_over_a_database_beside_it_with_persons(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = loan_rows(200).drop(columns="chance")
    frame["entity"] = [f"Zebulon-{number} Quartz" for number in range(200)]
    frame["time"] = frame["time"].dt.strftime("%Y-%m-%d")
    with sqlite3.connect(tmp_path / "book.db") as connection:
        frame.to_sql("loans", connection, index=False)
    values = loan_values(tmp_path / "unused.csv", personal=["entity"])
    columns = {**values["source"]["columns"], "entity": "entity", "time": "time"}
    values["source"] = {"kind": "sql", "url": "sqlite:///book.db", "table": "loans", "columns": columns, "text": values["source"]["text"]}
    monkeypatch.setenv(VARIABLE, "0f9e8d7c6b5a49382716050403020100")
    definition = load_definition(str(write_definition(tmp_path / "loans.yaml", values)))
    raw = ingest(open_context(definition, home))
    assert raw.rows == 200
    assert Lake(home.lake).read("raw/loans")["purpose"].isna().sum() == frame["purpose"].isna().sum() > 0
    assert files_with(home.root, "Quartz") == []
