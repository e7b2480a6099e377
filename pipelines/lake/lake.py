"""The lake: Delta tables in a local folder or an object store. Every write is one atomic commit, and stays readable by its version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa

from finflow.pipelines.core.disk import room_for
from finflow.pipelines.core.errors import ConflictError, StateError
from finflow.pipelines.lake.conflicts import kept_writing, retry_conflicts
from finflow.pipelines.lake.wide import GROUP, read_in_groups

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

SCHEMA_VERSION = 1
DESCRIPTION = "finflow schema {}"
PARTITION = "period"
# By default ordinary writes delete log entries older than 30 days, and with them the versions that earlier runs recorded.
CONFIGURATION = {"delta.logRetentionDuration": "interval 3650 days", "delta.deletedFileRetentionDuration": "interval 3650 days"}


class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()


def literal(value: str | pd.Timestamp) -> str:
    """A value as SQL text for `where` and `predicate`: quoted, whatever it holds. A naive time is a date-time, an aware one an instant."""
    if isinstance(value, pd.Timestamp):
        if value.tzinfo is None:
            return f"arrow_cast('{value.isoformat()}', 'Timestamp(Microsecond, None)')"
        return f"arrow_cast('{value.tz_convert('UTC').isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
    return "'" + value.replace("'", "''") + "'"


class Lake:
    """Tables under one location. Making one touches nothing.

    Args:
        location: a folder, or an object-store URL whose credentials the environment holds (AWS_*, AZURE_*, GOOGLE_*).
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/")

    def exists(self, table: str) -> bool:
        return self._open(table) is not None

    def version(self, table: str) -> int | None:
        """The newest version, or None where there is no such table."""
        found = self._open(table)
        return None if found is None else found.version()

    def read(
        self,
        table: str,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        optional: Sequence[str] = (),
    ) -> pd.DataFrame:
        """The rows of a table, in no stated order.

        Args:
            version: a version once recorded; the newest by default.
            columns: only these; all by default, in the table's order.
            optional: those of `columns` that older tables may lack; they are then absent.
            where: an SQL condition; write values with `literal`, and column names in double quotes if they are not plain lower-case words.

        Returns:
            text as `str`, times as datetime64[us] (naive or UTC). Where there is no table and no version was asked for: an empty frame
            with the columns asked for.

        Raises:
            StateError: no such version, a table of another schema version, or one that cannot be read.
        """
        found = self._open(table, version)
        if found is None:
            if version is not None:
                raise StateError(
                    f"table {table} is not in the lake {self.location}, so its version {version} cannot be read: was FINFLOW_HOME moved?"
                )
            return pd.DataFrame(columns=list(columns or ()))
        there = [field.name for field in found.schema().fields]
        names = there if columns is None else [name for name in columns if name in there or name not in optional]
        if len(names) > GROUP:
            wide = read_in_groups(lambda group: self._query(found, group, where).to_pandas(use_threads=False), names, there)
            if wide is not None:
                return wide
        return self._query(found, names, where).to_pandas(use_threads=False)

    def append(self, table: str, frame: pd.DataFrame, *, expected_version: Any = ANY) -> int:
        """Add rows in one commit, and return the table's new version.

        An empty frame writes nothing; the current version is returned (-1 where there is no table). New columns are added to the table.

        Args:
            frame: a column `period` (text, YYYY or YYYY-MM), if the first frame has one, partitions the table.
            expected_version: commit only as the very next version after this one; None: only if the table does not exist; ANY: whatever
                is there.

        Raises:
            ConflictError: another version is there than expected, or conflicts did not end.
            StateError: a column's type does not fit the table's, or the table is of another schema version.
        """
        if frame.empty:
            current = self.version(table)
            if expected_version is not ANY and current != expected_version:
                raise _conflict(table, expected_version, current)
            return -1 if current is None else current
        if expected_version is ANY:
            return retry_conflicts(lambda: self._write(table, self._open(table), frame, retries=15), kept_writing(table))
        found = self._open(table)
        current = None if found is None else found.version()
        if current != expected_version:
            raise _conflict(table, expected_version, current)
        try:
            return self._write(table, found, frame, retries=0)
        except _LostError:
            raise _conflict(table, expected_version, self.version(table)) from None

    def replace(self, table: str, frame: pd.DataFrame, predicate: str) -> int:
        """Replace the rows that meet `predicate` by those of `frame` in one commit, and return the new version.

        Doing it twice leaves one copy.

        Args:
            predicate: an SQL condition, as `where` in `read`. Every row of `frame` must meet it. An empty frame only removes.

        Raises:
            ConflictError: conflicts did not end.
            StateError: as `append`; or a row of `frame` does not meet the predicate.
        """
        if self._open(table) is None and frame.empty:
            return -1
        return retry_conflicts(lambda: self._write(table, self._open(table), frame, retries=0, predicate=predicate), kept_writing(table))

    def versions(self, table: str) -> dict[int, pd.Timestamp]:
        """Every version and when it was written (UTC), oldest first; empty where there is no table."""
        found = self._open(table)
        entries = [] if found is None else found.history()
        return {int(one["version"]): pd.Timestamp(one["timestamp"], unit="ms", tz="UTC") for one in reversed(entries)}

    def unneeded_files(self, table: str, keep: Sequence[int]) -> dict[str, int]:
        """The bytes of each file that none of the versions `keep`, nor any after them, reads; by its path in the table."""
        from deltalake.fs import DeltaStorageHandler
        from pyarrow.fs import FileType

        found = self._open(table)
        paths = [] if found is None else self._vacuum(found, keep, dry_run=True)
        files = DeltaStorageHandler(self._uri(table)).get_file_info(paths) if paths else []
        # those that went before are listed again
        return {info.path: int(info.size or 0) for info in files if info.type == FileType.File}

    def vacuum(self, table: str, keep: Sequence[int]) -> None:
        """Delete the files that none of the versions `keep`, nor any after them, reads."""
        found = self._open(table)
        if found is not None:
            self._vacuum(found, keep, dry_run=False)

    def partition_files(self, table: str, partition: str) -> list[str]:
        """The paths in the lake of the files that hold the rows of one partition now."""
        found = self._open(table)
        uris = [] if found is None else found.file_uris([(PARTITION, "=", partition)])
        return sorted(unquote(uri[uri.rindex(f"/{table}/") + 1 :]) for uri in uris)

    def _vacuum(self, found: DeltaTable, keep: Sequence[int], *, dry_run: bool) -> list[str]:
        # Versions that others wrote since `keep` was made up stay too; and not `full`: that takes files whose commit is yet to come.
        versions = sorted({*keep, *range(max(keep, default=0), found.version() + 1)})
        return found.vacuum(retention_hours=0, dry_run=dry_run, enforce_retention_duration=False, full=False, keep_versions=versions)

    def _uri(self, table: str) -> str:
        return f"{self.location}/{table}"

    def _open(self, table: str, version: int | None = None) -> DeltaTable | None:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            found = DeltaTable(self._uri(table), version=version)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            if version is not None:
                raise StateError(f"table {table} has no readable version {version} in the lake {self.location} ({error}).") from error
            raise StateError(f"table {table} in the lake {self.location} cannot be opened: {error}") from error
        described = found.metadata().description
        if described != DESCRIPTION.format(SCHEMA_VERSION):
            raise StateError(
                f"table {table} in the lake {self.location} is of {described or 'no finflow schema'}; this finflow reads and writes schema "
                f"{SCHEMA_VERSION}. Use the finflow that wrote it, or another FINFLOW_HOME."
            )
        return found

    def _query(self, found: DeltaTable, names: list[str], where: str | None) -> pa.Table:
        # Not DeltaTable.to_pandas: its dataset scan aborts short processes at exit.
        from deltalake import QueryBuilder

        chosen = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
        sql = f"SELECT {chosen} FROM wanted" + (f" WHERE {where}" if where else "")
        try:
            return pa.table(QueryBuilder().register("wanted", found).execute(sql).read_all())
        except Exception as error:
            words = " ".join(str(error).split())
            if "Object Store error" in words and "not found" in words:
                raise StateError(
                    f"version {found.version()} of the table {found.table_uri} has lost files: `finflow prune` freed what no kept run "
                    f"recorded, or somebody deleted them ({words[-200:]})."
                ) from error
            if any(word in words for word in ("Parquet", "Arrow error", "Kernel error")):
                raise StateError(
                    f"version {found.version()} of the table {found.table_uri} cannot be read: a file of it is damaged ({words[:200]})."
                ) from error
            raise

    def _write(self, table: str, found: DeltaTable | None, frame: pd.DataFrame, *, retries: int, predicate: str | None = None) -> int:
        with room_for(f"table {table}", self._uri(table)):
            return self._commit(table, found, frame, retries, predicate)

    def _commit(self, table: str, found: DeltaTable | None, frame: pd.DataFrame, retries: int, predicate: str | None) -> int:
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        data = _to_arrow(table, frame, found)
        commit = CommitProperties(max_commit_retries=retries)
        try:
            if found is None:
                return self._create(table, data, commit)
            if predicate is None:
                write_deltalake(found, data, mode="append", schema_mode="merge", commit_properties=commit)
            elif frame.empty:
                found.delete(predicate, commit_properties=commit)
            else:
                write_deltalake(found, data, mode="overwrite", predicate=predicate, schema_mode="merge", commit_properties=commit)
        except CommitFailedError as error:
            raise _LostError from error
        except DeltaError as error:
            if "Invalid data found" in str(error):
                raise StateError(
                    f"table {table}: not every new row meets the condition of the rows it replaces, {predicate}. Nothing was written."
                ) from error
            raise
        return found.version()

    def _create(self, table: str, data: pa.Table, commit: CommitProperties) -> int:
        from deltalake import write_deltalake
        from deltalake.exceptions import DeltaError

        try:
            write_deltalake(
                self._uri(table),
                data,
                mode="error",
                partition_by=[PARTITION] if PARTITION in data.column_names else None,
                configuration=CONFIGURATION,
                description=DESCRIPTION.format(SCHEMA_VERSION),
                commit_properties=commit,
            )
        except DeltaError as error:
            if self._open(table) is not None:  # somebody else made it in between
                raise _LostError from error
            raise
        return 0


class _LostError(ConflictError):
    """Another writer committed first."""


def _conflict(table: str, expected: int | None, current: int | None) -> ConflictError:
    def words(version: int | None) -> str:
        return "no table" if version is None else f"version {version}"

    return ConflictError(
        f"table {table}: expected {words(expected)}, found {words(current)}: another run wrote first. Nothing was written."
    )


def _to_arrow(table: str, frame: pd.DataFrame, found: DeltaTable | None) -> pa.Table:
    """The frame in the types that Delta keeps, and in those that the table already has."""
    existing = {} if found is None else {field.name: field.type for field in pa.schema(found.schema().to_arrow())}
    if PARTITION in existing and PARTITION not in frame:
        raise StateError(f"table {table}: the rows lack the column {PARTITION!r} that the table is partitioned by.")
    columns = {}
    for name in frame.columns:
        try:
            column = pa.array(frame[name], from_pandas=True)
            wanted = existing.get(name, _delta_type(column.type))
            if pa.types.is_string(wanted) != _is_text(column.type) and column.null_count < len(column):
                raise pa.ArrowTypeError(f"{column.type} is not {wanted}")  # Arrow itself would parse '1.5' and print 1.5
            columns[str(name)] = column if column.type == wanted else column.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            expected = "numbers, text, times or booleans, one kind in a column"
            if name in existing:
                expected = f"{existing[name]} as in the table. Mend the source (or its `text`), or give the definition another name"
            raise StateError(
                f"table {table}, column {name!r}: {frame[name].dtype} values do not fit; expected {expected} ({error})."
            ) from error
    return pa.table(columns)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _delta_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_null(kind) or _is_text(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_float16(kind):
        return pa.float32()
    return kind
