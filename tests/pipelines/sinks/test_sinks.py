"""Scores beside the lake: every row once, whoever writes, however often, and wherever a run was killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import backfill, show_plan
from finflow.pipelines.core.errors import DefinitionError, SinkError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.secrets import expand, redacted
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.ledger import Ledger
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.scoring import deliver as delivering
from finflow.pipelines.scoring.score import score_clean
from finflow.pipelines.sinks.parquet import ParquetSink
from finflow.pipelines.sinks.sql import SqlSink
from tests.support import tiny_values, write_definition
from tests.support.patching import replace_everywhere
from tests.support.pipelines.backfill_support import DATES, END, START, registry_of, run
from tests.support.pipelines.serving_support import Market, Registry, make_market

KEY = ["definition", "entity", "time", "horizon", "version", "input_digest"]


class Place:
    """A sink of either kind, and how to read it back."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder / "sink"
        self.database = f"sqlite:///{folder / 'scores.db'}"

    @property
    def settings(self) -> dict[str, str]:
        if self.kind == "sql":
            return {"kind": "sql", "url": self.database, "table": "scores"}
        return {"kind": "parquet", "path": str(self.folder) if self.kind == "parquet" else f"memory://{self.folder}"}

    def read(self) -> pd.DataFrame:
        if self.kind == "sql":
            import sqlalchemy

            engine = sqlalchemy.create_engine(self.database)
            try:
                rows = pd.read_sql_table("scores", engine)
            finally:
                engine.dispose()
            return rows.astype({"entity": "str", "input_digest": "str"})
        if self.kind == "parquet":
            return pd.read_parquet(self.folder)
        import fsspec

        files = fsspec.filesystem("memory")
        return pd.concat([pd.read_parquet(files.open(name)) for name in files.ls(str(self.folder), detail=False)], ignore_index=True)


@pytest.fixture(params=["parquet", "memory", "sql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


@pytest.fixture
def market(home: Home, place: Place) -> Market:
    return make_market(home, sink=place.settings)


@pytest.fixture
def registry(market: Market, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return registry_of(market, monkeypatch)


def assert_as_in_the_lake(place: Place, market: Market) -> None:
    """The sink holds the rows of the lake, each once, with every value."""
    sent = place.read().sort_values(KEY, ignore_index=True)
    kept = Predictions(market.lake, "tiny").read().drop(columns=["period", "restated"])
    kept.insert(0, "definition", "tiny")
    kept = kept.sort_values(KEY, ignore_index=True)
    assert not sent.duplicated(KEY).any()
    assert len(sent) == len(kept) > 0
    for name in kept.columns:
        left, right = sent[name], kept[name]
        if name == "scored_at":
            left = pd.to_datetime(left, utc=True).dt.as_unit("us")
        if name == "backfill_id":
            left, right = left.fillna(""), right.fillna("")
        assert list(left) == list(right), name


def test_live_scores_and_backfills_arrive_once(place: Place, market: Market, registry: Registry) -> None:
    scored = score_clean(market.context, market.clean("2017-06-15"))
    assert (scored.written, scored.delivered) == (6, 6)
    filled = run(market)
    assert filled.delivered == filled.written == (len(DATES) - 1) * 6
    assert_as_in_the_lake(place, market)
    assert score_clean(market.context, market.clean("2017-06-15")).delivered == 0
    assert run(market, only="all").delivered == 0
    registry.promote(2, "2017-05-31", scale=0.02)
    assert run(market, only="stale").delivered == len(DATES) * 6
    assert_as_in_the_lake(place, market)


def test_one_entity_first_and_then_all(place: Place, market: Market, registry: Registry) -> None:
    run(market, entity="BETA")
    run(market)
    assert_as_in_the_lake(place, market)


def test_killed_between_the_lake_and_the_sink(place: Place, market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        replace_everywhere(patch, "finflow.pipelines.scoring.deliver.deliver", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(market, max_active=1)
        with pytest.raises(KeyboardInterrupt):
            score_clean(market.context, market.clean("2017-06-15"))
    assert len(Predictions(market.lake, "tiny").read()) == len(DATES) * 6
    assert market.lake.version("ledger/tiny") is None
    again = run(market)
    assert (again.written, again.delivered) == (0, len(DATES) * 6)
    assert_as_in_the_lake(place, market)


def test_killed_between_the_sink_and_the_ledger(place: Place, market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", lambda self, rows: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(market)
    again = run(market)
    assert (again.written, again.delivered) == (0, 0)
    assert_as_in_the_lake(place, market)


def test_killed_within_the_sink(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some files of a delivery; what a torn write leaves is not read."""
    place = Place("parquet", tmp_path)
    market = make_market(home, sink=place.settings)
    registry_of(market, monkeypatch)
    original, done = ParquetSink._put, []

    def put(self: ParquetSink, name: str, rows: pd.DataFrame) -> int:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(name)
        return original(self, name, rows)

    with monkeypatch.context() as patch:
        patch.setattr(ParquetSink, "_put", put)
        with pytest.raises(KeyboardInterrupt):
            run(market)
    (place.folder / ".finflow-torn.parquet").write_bytes(b"PAR1")
    assert len(place.read()) == 5 * 6
    assert run(market).delivered == (len(DATES) - 5) * 6
    assert_as_in_the_lake(place, market)


def test_writers_at_the_same_time(place: Place, market: Market, registry: Registry) -> None:
    run(market)
    dates = [set(DATES), set(DATES[:12]), set(DATES[6:]), set(DATES)]
    empty = Place(place.kind, place.folder.parent / "other")
    empty.folder.parent.mkdir()
    fresh = market.definition.model_validate({**market.definition.model_dump(), "sink": empty.settings})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: delivering.deliver(open_context(fresh, market.home), part, {1}), dates))
    assert_as_in_the_lake(empty, market)


def test_restated_rows_stay_in_the_lake(place: Place, market: Market, registry: Registry) -> None:
    run(market)
    assert run(market, restated=True).delivered == 0
    assert len(place.read()) == len(DATES) * 6


def test_a_sink_that_takes_nothing_leaves_the_dates_missing(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    market = make_market(home, sink={"kind": "parquet", "path": str(tmp_path / "file" / "scores")})
    registry_of(market, monkeypatch)
    with pytest.raises(SinkError, match="cannot be written"):
        backfill(market.context, BackfillRequest(START, END), clean=market.clean(END))
    shown = show_plan(market.context, BackfillRequest(START, END), clean=market.clean(END))
    assert shown["counts"] == {"missing": len(DATES)}
    assert len(Predictions(market.lake, "tiny").read()) == len(DATES) * 6


def test_a_table_of_something_else_is_refused(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy

    place = Place("sql", tmp_path)
    engine = sqlalchemy.create_engine(place.database)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table scores (entity text, q05 float)"))
    engine.dispose()
    market = make_market(home, sink=place.settings)
    registry_of(market, monkeypatch)
    with pytest.raises(SinkError, match="lacks the columns definition, time"):
        run(market)


def test_the_statement_for_postgresql_leaves_alone_what_is_there() -> None:
    from sqlalchemy import MetaData
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    from finflow.pipelines.sinks import sql

    rows = pd.DataFrame(columns=[*KEY, "target_time", "q50", "in_sample", "scored_at", "backfill_id"])
    table = sql._table(MetaData(), "risk.scores", rows)

    class Connection:
        dialect = postgresql.dialect()

    text = str(sql._statement(Connection(), table).compile(dialect=postgresql.dialect()))  # type: ignore[arg-type]
    assert text.startswith("INSERT INTO risk.scores")
    assert text.endswith("ON CONFLICT (definition, entity, time, horizon, version, input_digest) DO NOTHING")
    made = str(CreateTable(table).compile(dialect=postgresql.dialect()))
    assert "PRIMARY KEY (definition, entity, time, horizon, version, input_digest)" in made
    assert "scored_at TIMESTAMP WITH TIME ZONE" in made
    assert "version BIGINT NOT NULL" in made


@pytest.mark.parametrize(
    "sink",
    [
        {"kind": "sql", "url": "postgresql://me:hunter2@host/db", "table": "scores"},
        {"kind": "sql", "url": "postgresql://host/db?user=me&password=hunter2", "table": "scores"},
        {"kind": "parquet", "path": "s3://key:hunter2@bucket/scores"},
        {"kind": "sql", "url": "sqlite:///x.db", "table": "scores; drop table hunter2"},
        {"kind": "sql", "url": "postgresql://me:hunter2@host/db"},
    ],
)
def test_a_password_in_a_definition_is_refused_and_not_repeated(sink: dict[str, str]) -> None:
    with pytest.raises(DefinitionError) as raised:
        parse_definition(tiny_values(sink=sink))
    assert "hunter2" not in str(raised.value)
    assert "sink" in str(raised.value)


def test_a_password_comes_from_the_environment_and_is_in_no_message(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "postgresql://me:${FINFLOW_TEST_PASSWORD}@127.0.0.1:1/db"
    market = make_market(home, sink={"kind": "sql", "url": url, "table": "scores"})
    registry_of(market, monkeypatch)
    with pytest.raises(SinkError, match="FINFLOW_TEST_PASSWORD, which is not set"):
        run(market)
    monkeypatch.setenv("FINFLOW_TEST_PASSWORD", "p@ss/word")
    assert expand(url) == "postgresql://me:p%40ss%2Fword@127.0.0.1:1/db"
    with pytest.raises(SinkError) as raised:
        run(market)
    assert "refused" in str(raised.value), "nothing listens on port 1"
    assert "127.0.0.1:1/db, table scores" in str(raised.value)
    for secret in ("p@ss/word", "p%40ss%2Fword"):
        assert secret not in str(raised.value)
        assert secret not in yaml.safe_dump(market.definition.model_dump(mode="json"))
    monkeypatch.setenv("FINFLOW_TEST_URL", "postgresql://me:hidden@host/db")
    assert expand("${FINFLOW_TEST_URL}") == "postgresql://me:hidden@host/db"
    assert "hidden" not in redacted("cannot reach postgresql://me:hidden@host/db: hidden")


@pytest.mark.slow
def test_a_real_postgresql(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four writers at once, twice over, with the password in the environment."""
    import sqlalchemy

    from tests.support.postgresql import postgresql

    with postgresql("s3cret") as address:
        monkeypatch.setenv("FINFLOW_TEST_PASSWORD", "s3cret")
        url = address.replace(":s3cret@", ":${FINFLOW_TEST_PASSWORD}@")
        market = make_market(home, sink={"kind": "sql", "url": url, "table": "scores"})
        registry_of(market, monkeypatch)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda number: run(market, only="all"), range(8)))
        engine = sqlalchemy.create_engine(address)
        sent = pd.read_sql_table("scores", engine).sort_values(KEY, ignore_index=True)
        engine.dispose()
    kept = Predictions(market.lake, "tiny").read().assign(definition="tiny").sort_values(KEY, ignore_index=True)
    assert len(sent) == len(kept) == len(DATES) * 6
    assert list(sent["q50"]) == list(kept["q50"])
    assert list(sent["scored_at"]) == list(kept["scored_at"])
    assert not sent["in_sample"].any()
    assert sum(result.written for result in results) == len(kept)
    assert len(kept) <= sum(result.delivered for result in results)


def test_a_relative_path_is_relative_to_the_definition(tmp_path: Path) -> None:
    path = write_definition(tmp_path / "tiny.yaml", tiny_values(sink={"kind": "parquet", "path": "scores"}))
    sink: Any = load_definition(str(path)).sink
    assert sink == ParquetSink(path=str(tmp_path / "scores"))
    remote = write_definition(tmp_path / "two.yaml", tiny_values(sink={"kind": "sql", "url": "sqlite:///${HOME}/x.db", "table": "a.b"}))
    assert load_definition(str(remote)).sink == SqlSink(url="sqlite:///${HOME}/x.db", table="a.b")
