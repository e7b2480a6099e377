"""A table of any database that SQLAlchemy reaches, or what a query gives, read in pieces and mapped as files are."""

from __future__ import annotations

import decimal
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import pandas as pd
from pydantic import ConfigDict, Field, PrivateAttr, field_serializer, field_validator, model_validator

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.redaction import are_cells_hidden, hidden_in_errors, redacted
from finflow.pipelines.core.secrets import expand
from finflow.pipelines.core.sql import DatabaseUrl, TableName, in_a_line
from finflow.pipelines.sources.allowed import FOLDERS, Allowed
from finflow.pipelines.sources.budget import check_cells, check_rows, check_width
from finflow.pipelines.sources.headers import match_columns
from finflow.pipelines.sources.mapping import TableSource
from finflow.pipelines.sources.tables import long_rows, with_keys
from finflow.pipelines.sources.values import from_typed

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Engine

PIECE = 20_000  # rows fetched at once


class SqlSource(TableSource):
    """Rows of a `table` or of a `query` (one SELECT; nothing else is sent, and the transaction is rolled back).

    Columns are mapped as those of files are, with the limits that files have. A database's order of rows is its own, so rows without an id
    (`numbered`) need an `order by` in their query. Give finflow a user that may read and no more.
    """

    # What a person wrote is not repeated in the message about it: it may hold a password.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    kind: Literal["sql"] = "sql"
    url: DatabaseUrl
    table: TableName | None = Field(default=None, description="the table or view, or schema.table: letters, digits and underscores")
    query: str | None = Field(default=None, description="a SELECT statement, in place of a table")
    _folder: Path | None = PrivateAttr(default=None)

    @field_validator("query")
    @classmethod
    def _select(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"\s*(select|with)\b", value, re.IGNORECASE):
            raise ValueError("query must begin with SELECT or WITH")
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give `table` or `query`, one of them")
        if self.numbered is not None and (self.query is None or not re.search(r"\border\s+by\b", self.query, re.IGNORECASE)):
            raise ValueError("numbered: a database's rows have no order of their own: write a `query` with an ORDER BY")
        if not any((self.entity, self.numbered, self.wide)) and "entity" not in self.mapped:
            raise ValueError("map an entity column: columns: {entity: customer_id}; or give `entity` or `numbered`")
        return self

    @field_serializer("url")
    def _shown(self, value: str) -> str:
        return redacted(value)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What is printed of the settings: no secret."""
        return [(name, redacted(value) if name == "url" else value) for name, value in super().__repr_args__()]

    @property
    def path(self) -> str:
        """What messages call it."""
        return f"{redacted(self.url)}, {f'table {self.table}' if self.table else 'query'}"

    def resolved(self, folder: Path) -> Self:
        """SQLite's relative files count from the folder of the definition."""
        relative = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/$:?][^?]*)(\?.*)?", self.url)
        url = self.url if relative is None else f"{relative[1]}{folder / relative[2]}{relative[3] or ''}"
        resolved = self.model_copy(update={"url": url})
        resolved._folder = folder
        return resolved

    def read(self) -> pd.DataFrame:
        """See `SourceSettings.read`."""
        from sqlalchemy.exc import SQLAlchemyError

        engine = self._engine()
        try:
            with hidden_in_errors(), engine.connect() as connection:
                return self._frame(connection)
        except SQLAlchemyError as error:
            # A driver's message may repeat a value that it could not take.
            why = type(error).__name__ if are_cells_hidden() else in_a_line(getattr(error, "orig", None) or error)
            raise SourceError(f"{self.path}: cannot be read ({why}).") from None
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError

        url = expand(self.url)
        database = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(\?.*)?", url)
        if database and database[1] != ":memory:" and not database[1].startswith("file:") and not Path(database[1]).is_file():
            raise SourceError(f"{self.path}: there is no such database file.")  # SQLite would make an empty one
        allowed = Allowed.from_environment(self._folder)
        if database and allowed.fenced and not allowed.holds(database[1]):
            raise SourceError(f"{self.path}: lies outside the folders that sources may read ({FOLDERS}).")
        try:
            return create_engine(url)
        except (ArgumentError, ImportError) as error:
            raise SourceError(f"{redacted(self.url)}: {in_a_line(error)}.") from None

    def _frame(self, connection: Connection) -> pd.DataFrame:
        from sqlalchemy import text

        schema, _, name = (self.table or "").rpartition(".")
        quoted = ".".join(connection.dialect.identifier_preparer.quote(part) for part in (schema, name) if part)
        # A colon in a query is a parameter's to SQLAlchemy.
        statement = f"SELECT * FROM {quoted}" if self.table else str(self.query).replace(":", r"\:")
        result = connection.execution_options(stream_results=True, yield_per=PIECE).execute(text(statement))
        headers = list(map(str, result.keys()))
        check_width(self, self.path, len(headers))
        chosen = match_columns(self, headers, self.path)
        return self._assembled(self._columns(result, chosen), chosen)

    def _columns(self, result: Any, chosen: dict[str, int]) -> dict[str, list[pa.Array]]:
        """By finflow's name, the pieces of a column, as Arrow reads Python's values."""

        pieces: dict[str, list[pa.Array]] = {name: [] for name in chosen}
        rows, text_bytes = 0, 0
        for part in result.partitions(PIECE):
            rows += len(part)
            check_rows(self, self.path, rows, self.maximum_rows)
            for name, place in chosen.items():
                values = [row[place] for row in part]
                text_bytes += sum(len(value) for value in values if isinstance(value, (str, bytes)))
                pieces[name].append(self._array(name, values))
            check_cells(self, self.path, rows, len(chosen), text_bytes=text_bytes)
        if not rows:
            raise SourceError(f"{self.path}: holds no row.")
        return pieces

    def _array(self, name: str, values: list[Any]) -> pa.Array:
        import pyarrow as pa

        plain = [
            float(value) if isinstance(value, decimal.Decimal) else str(value) if isinstance(value, uuid.UUID) else value
            for value in values
        ]
        try:
            return pa.array(plain)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            why = "" if are_cells_hidden() else f" ({in_a_line(error)})"
            raise SourceError(f"{self.path}, column {name!r}: holds values of more than one type{why}; cast it in a query.") from None

    def _assembled(self, pieces: dict[str, list[pa.Array]], chosen: dict[str, int]) -> pd.DataFrame:
        import pyarrow as pa

        columns = {}
        for name in chosen:
            kinds = {piece.type for piece in pieces[name] if not pa.types.is_null(piece.type)} or {pa.null()}
            try:
                chunks = [piece.cast(_common(kinds)) for piece in pieces[name]]
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                shown = " and ".join(sorted(map(str, kinds)))
                raise SourceError(f"{self.path}, column {name!r}: holds {shown}; cast it in a query.") from None
            columns[name] = from_typed(self, name, self._known(name, pa.chunked_array(chunks)), self.path)
        frame = pd.DataFrame(columns)
        if self.wide is not None:
            frame = long_rows(frame, self.wide)
        if self.entity is not None:
            frame.insert(0, "entity", pd.Series([self.entity] * len(frame), dtype="str").to_numpy())
        with_keys(self, frame)
        return frame

    def _known(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column without any value has no type of its own: that of a text, a time or a number, as the settings say."""
        import pyarrow as pa

        if not pa.types.is_null(column.type):
            return column
        if name == "entity" or name in self.text:
            return column.cast(pa.string())
        return column.cast(pa.timestamp("us") if name in ("time", "known_at") else pa.float64())


def _common(kinds: set[pa.DataType]) -> pa.DataType:
    import pyarrow as pa

    if len(kinds) == 1:
        return next(iter(kinds))
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return pa.float64()
    raise pa.ArrowInvalid("no common type")
