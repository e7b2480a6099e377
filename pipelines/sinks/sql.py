"""Scores in a table of an SQL database: one transaction a delivery, and a primary key that a prediction has once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from finflow.pipelines.core.errors import FinflowError, SinkError
from finflow.pipelines.core.secrets import expand
from finflow.pipelines.core.sql import DatabaseUrl, TableName, in_a_line
from finflow.pipelines.sinks.base import SinkSettings

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection, Engine, Table

KEY = ("definition", "entity", "time", "horizon", "version", "input_digest")
#: rows in one statement's list of parameters
BATCH = 5_000


class SqlSink(SinkSettings):
    """A table of any database that SQLAlchemy reaches; it is made where it is not there.

    The primary key is that of a prediction: definition, entity, time, horizon, version, digest of the input. A row that is there is left
    alone, so that a delivery cut short, or made twice, ends in the same table.
    """

    kind: Literal["sql"] = "sql"
    url: DatabaseUrl
    table: TableName = Field(description="the table, or schema.table: letters, digits and underscores")

    def write(self, rows: pd.DataFrame) -> int:
        """See `SinkSettings.write`; all rows in one transaction."""
        from sqlalchemy.exc import SQLAlchemyError

        engine = self._engine()
        try:
            table = self._prepared(engine, rows)
            with engine.begin() as connection:
                return _insert(connection, table, _records(rows, table))
        except SQLAlchemyError as error:
            said = in_a_line(getattr(error, "orig", None) or error)
            raise SinkError(f"sink {self.url}, table {self.table}: the rows cannot be written ({said}).") from None
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError

        try:
            return create_engine(expand(self.url))
        except FinflowError as error:
            raise SinkError(f"sink: {error}") from None
        except (ArgumentError, ImportError) as error:
            raise SinkError(f"sink {self.url}: {in_a_line(error)}.") from None

    def _prepared(self, engine: Engine, rows: pd.DataFrame) -> Table:
        """The table, made if it is not there.

        Raises:
            SinkError: it lacks columns that the rows have, or the key.
        """
        from sqlalchemy import MetaData, inspect
        from sqlalchemy.exc import SQLAlchemyError

        wanted = _table(MetaData(), self.table, rows)
        if not inspect(engine).has_table(wanted.name, schema=wanted.schema):
            try:
                wanted.create(engine)
            except SQLAlchemyError:
                if not inspect(engine).has_table(wanted.name, schema=wanted.schema):  # another process was not quicker
                    raise
        there = {column["name"] for column in inspect(engine).get_columns(wanted.name, schema=wanted.schema)}
        missing = [column.name for column in wanted.columns if column.name not in there]
        key = inspect(engine).get_pk_constraint(wanted.name, schema=wanted.schema)["constrained_columns"]
        if missing or set(key) != set(KEY):
            fault = f"lacks the columns {', '.join(missing)}" if missing else f"has the primary key ({', '.join(key)})"
            raise SinkError(f"sink {self.url}: the table {self.table} {fault}; expected the key ({', '.join(KEY)}). Name another table.")
        return wanted


def _table(metadata: Any, name: str, rows: pd.DataFrame) -> Table:
    from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, Integer, String, Table

    kinds: dict[str, Any] = {
        "definition": String(100),
        "entity": String(100),
        "time": DateTime(),
        "target_time": DateTime(),
        "horizon": Integer(),
        "version": BigInteger(),
        "input_digest": String(32),
        "in_sample": Boolean(),
        "scored_at": DateTime(timezone=True),
        "backfill_id": String(32),
    }
    schema, _, short = name.rpartition(".")
    columns = [
        Column(str(column), kinds.get(str(column), Float(53)), primary_key=column in KEY, autoincrement=False, nullable=column not in KEY)
        for column in rows.columns
    ]
    return Table(short, metadata, *columns, schema=schema or None)


def _records(rows: pd.DataFrame, table: Table) -> list[dict[str, Any]]:
    """Rows as plain Python values; what is missing is None."""
    columns = {}
    for column in table.columns:
        series = rows[column.name]
        values = series.dt.to_pydatetime() if series.dtype.kind == "M" else series.to_numpy(dtype=object)
        absent = series.isna().to_numpy()
        columns[column.name] = [None if gone else value for value, gone in zip(values, absent, strict=True)]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _insert(connection: Connection, table: Table, records: list[dict[str, Any]]) -> int:
    """Insert what is not there; how many rows that were."""
    written = 0
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        there = _present(connection, table, part)
        new = [record for record in part if tuple(_plain(record[name]) for name in KEY) not in there]
        if new:
            connection.execute(_statement(connection, table), new)
            written += len(new)
    return written


def _present(connection: Connection, table: Table, records: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """The keys in the table of the same definitions, times and versions."""
    from sqlalchemy import select

    definitions = {record["definition"] for record in records}
    versions = {record["version"] for record in records}
    times = [record["time"] for record in records]
    query = select(*(table.c[name] for name in KEY)).where(
        table.c.definition.in_(definitions), table.c.version.in_(versions), table.c.time.between(min(times), max(times))
    )
    return {tuple(_plain(value) for value in row) for row in connection.execute(query)}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _statement(connection: Connection, table: Table) -> Any:
    """An insert that leaves alone what another writer put there in between, where the database has such a thing.

    Elsewhere the primary key refuses the transaction, and the same command again finds the rows.
    """
    name = connection.dialect.name
    if name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        return insert_postgresql(table).on_conflict_do_nothing(index_elements=list(KEY))
    if name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        return insert_sqlite(table).on_conflict_do_nothing(index_elements=list(KEY))
    from sqlalchemy import insert

    return insert(table)
