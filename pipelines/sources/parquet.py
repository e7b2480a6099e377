"""Reading one Parquet file within its budget: by the rows and columns of its footer first, then by the text that comes."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

import pandas as pd

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources.budget import check_cells, check_packing, check_rows, check_width
from finflow.pipelines.sources.headers import match_columns
from finflow.pipelines.sources.listing import DataFile
from finflow.pipelines.sources.values import check_type, from_typed, is_textual

if TYPE_CHECKING:
    import pyarrow as pa

    from finflow.pipelines.sources.files import ParquetSource

BATCH_ROWS = 65_536


def read_parquet_file(settings: ParquetSource, file: DataFile, rows_left: int) -> pd.DataFrame:
    """Every row, in the types of finflow's columns.

    Rows times columns are compared with the budget before anything is read. Text is read as codes into a dictionary, batch by batch, and
    its length counted before it is written out: one long string can stand in a million rows.

    Raises:
        SourceError: no whole Parquet file, columns that do not fit the definition, or more than the budget.
    """
    import pyarrow as pa

    with file.open() as stream:
        size = stream.seek(0, io.SEEK_END)
        if not size:
            raise SourceError(f"{file.label}: is empty; expected a Parquet file.")
        try:
            headers, chosen = _look(settings, file.label, stream, size, rows_left)
            names = [headers[place] for place in sorted(set(chosen.values()))]
            table = _read(settings, file.label, stream, size, names)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{file.label}: not a whole Parquet file ({str(error).splitlines()[0][:200]}); fetch or write it again."
            ) from None
    return pd.DataFrame({name: from_typed(settings, name, table.column(headers[place]), file.label) for name, place in chosen.items()})


def _look(settings: ParquetSource, label: str, stream: IO[bytes], size: int, rows_left: int) -> tuple[list[str], dict[str, int]]:
    """Its headers, and which of them are which of finflow's columns, if the budget holds by the footer."""
    reader = _open(stream)
    schema, rows = reader.schema_arrow, _rows(reader.metadata)
    headers = list(schema.names)
    check_width(settings, label, len(headers))
    check_rows(settings, label, rows, rows_left)
    chosen = match_columns(settings, headers, label)
    for name, place in chosen.items():
        check_type(settings, name, schema.field(place).type, label)
    check_cells(settings, label, rows, len(chosen))
    check_packing(settings, label, rows, len(chosen), size)
    return headers, chosen


def _rows(metadata: Any) -> int:
    """The most rows that any part of the footer speaks of: they may contradict one another."""
    counts = [metadata.num_rows]
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        counts.append(group.num_rows)
        counts += [group.column(place).num_values for place in range(group.num_columns)]
    total = sum(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    return max(*counts, total)


def _read(settings: ParquetSource, label: str, stream: IO[bytes], size: int, names: list[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as compute

    schema = _open(stream).schema_arrow
    texts = [name for name in names if is_textual(schema.field(name).type)]
    reader = _open(stream, read_dictionary=texts)
    batches, text_bytes, rows = [], 0, 0
    # Not read_table: it scans a dataset, which aborts short processes at exit.
    for batch in reader.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False):
        rows += batch.num_rows
        for name in texts:
            column = batch.column(name)
            if pa.types.is_dictionary(column.type):
                lengths = compute.binary_length(column.dictionary).take(column.indices)
            else:
                lengths = compute.binary_length(column)
            text_bytes += int(compute.sum(lengths).as_py() or 0)
        check_cells(settings, label, rows, len(names), text_bytes=text_bytes)
        check_packing(settings, label, rows, len(names), size, text_bytes=text_bytes)
        batches.append(batch)
    return pa.Table.from_batches(batches, None if batches else pa.schema([reader.schema_arrow.field(name) for name in names]))


def _open(stream: IO[bytes], **options: Any) -> Any:
    import pyarrow.parquet as parquet

    stream.seek(0)
    return parquet.ParquetFile(stream, **options)
