"""How much a table may hold once it is in memory. What it says of its own size in bytes is not believed: cells are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finflow.pipelines.core.errors import SourceError

if TYPE_CHECKING:
    from finflow.pipelines.sources.files import FileSource
    from finflow.pipelines.sources.mapping import TableSource

CELL = 8  # bytes of a number; so many bytes of text count as a cell
SMALL = 5_000_000  # cells that any file may hold, however well it is packed


def check_width(settings: TableSource, label: str, columns: int) -> None:
    """Refuse a table of too many columns, wanted or not."""
    if columns > settings.maximum_columns:
        raise SourceError(
            f"{label}: {columns:,} columns, more than the {settings.maximum_columns:,} that are read; if that is right, raise "
            "`maximum_columns`."
        )


def check_rows(settings: TableSource, label: str, rows: int, rows_left: int) -> None:
    """Refuse a table of more rows than those before it have left."""
    if rows > rows_left:
        raise SourceError(
            f"{label}: {rows:,} rows, more than the {settings.maximum_rows:,} that may be read; raise `maximum_rows`, or choose fewer."
        )


def check_cells(settings: TableSource, label: str, rows: int, columns: int, *, text_bytes: int = 0) -> None:
    """Refuse what would not fit in memory.

    Args:
        columns: those that are read.
        text_bytes: of all text cells, as far as they are known.
    """
    cells, what = _amount(rows, columns, text_bytes)
    if cells > settings.maximum_cells:
        raise SourceError(
            f"{label}: holds {what}, {cells:,} cells; at most {settings.maximum_cells:,} are read. Split the source, leave columns out, or "
            "raise `maximum_cells`."
        )


def check_packing(settings: FileSource, label: str, rows: int, columns: int, packed_bytes: int, *, text_bytes: int = 0) -> None:
    """Refuse what unpacks to so much more than it is on disk (`packed_bytes`) that no data do; see `check_cells`."""
    cells, what = _amount(rows, columns, text_bytes)
    if cells > max(SMALL, settings.maximum_cells_per_byte * packed_bytes):
        raise SourceError(
            f"{label}: holds {what}, {cells:,} cells in {packed_bytes:,} bytes: more than {settings.maximum_cells_per_byte:,} a byte, "
            "as only data do that were made to fill memory. If it is meant, raise `maximum_cells_per_byte`."
        )


def _amount(rows: int, columns: int, text_bytes: int) -> tuple[int, str]:
    """Cells, and the same in words."""
    words = f"{rows:,} rows of {columns:,} columns" + (f" with {text_bytes:,} bytes of text" if text_bytes else "")
    return rows * columns + text_bytes // CELL, words
