"""CSV and Parquet: a file, a folder, a glob or an fsspec URL; one file an entity, one long table, or wide ones with a column an entity."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, field_serializer, field_validator, model_validator

from finflow.pipelines.core.redaction import redacted
from finflow.pipelines.sources.headers import ALIASES
from finflow.pipelines.sources.mapping import TableSource
from finflow.pipelines.sources.tables import read_csv, read_parquet

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "-", "--")

Character = Annotated[str, Field(min_length=1, max_length=1)]


class FileSource(TableSource):
    """What CSV and Parquet files have in common beside their columns."""

    path: str = Field(
        min_length=1, description="a file, a folder, a glob (quotes/*.csv) or a URL (s3://bucket/quotes); ${NAME} reads a variable"
    )
    maximum_cells_per_byte: int = Field(default=100, ge=1, description="cells that a byte of a packed file may hold")
    _folder: Path | None = PrivateAttr(default=None)

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        if any(ord(character) < 32 for character in value):
            raise ValueError(f"path {value!r} holds a control character")
        return value

    @field_serializer("path")
    def _shown(self, value: str) -> str:
        return redacted(value)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What is printed of the settings: no secret."""
        return [(name, redacted(value) if name == "path" else value) for name, value in super().__repr_args__()]

    @property
    def folder(self) -> Path | None:
        """The definition's folder, where there is a definition."""
        return self._folder

    def resolved(self, folder: Path) -> Self:
        is_address = "://" in self.path or "::" in self.path or self.path.startswith("${")
        path = self.path if is_address else str(folder / Path(self.path).expanduser())
        resolved = self.model_copy(update={"path": path})
        resolved._folder = folder
        return resolved


class CsvSource(FileSource):
    """Delimited text. `.gz`, `.bz2`, `.xz` and `.zip` files are unpacked on the way."""

    kind: Literal["csv"] = "csv"
    encoding: str = Field(default="utf-8", description="as Python names it: utf-8 (with or without BOM), latin-1, gb18030 ...")
    delimiter: Character = Field(default=",", description="between cells")
    quote: Character = Field(default='"', description="around a cell that holds a delimiter")
    decimal: Literal[".", ","] = Field(default=".", description="the decimal mark")
    thousands: Literal[",", ".", " ", "'", "\u00a0"] | None = Field(default=None, description="the character between thousands")
    skip_rows: int = Field(default=0, ge=0, le=1000, description="lines before the header")
    names: tuple[str, ...] = Field(
        default=(), description="headers of a file that has none, in its order; what `columns` and `ignore` do not name keeps its name here"
    )
    missing: tuple[str, ...] = Field(default=MISSING, description="cells that mean: no value")

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
            "a,1\n".encode(value)
        except (LookupError, ValueError, TypeError, AttributeError):
            raise ValueError(f"no text encoding {value!r}: use utf-8, latin-1, gb18030 ...") from None
        return value

    @field_validator("names")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        stripped = [name.strip() for name in value]
        twice = sorted(name for name, count in Counter(stripped).items() if count > 1)
        if twice or not all(stripped):
            raise ValueError(f"names: {', '.join(twice)} stands there twice" if twice else "names: one of them is empty")
        return tuple(stripped)

    @model_validator(mode="after")
    def _characters_differ(self) -> Self:
        if self.delimiter == self.decimal:
            raise ValueError(f"delimiter and decimal are both {self.delimiter!r}: one of them is another character")
        if self.thousands == self.decimal:
            raise ValueError(f"thousands and decimal are both {self.decimal!r}: one of them is another character")
        return self

    @property
    def mapped(self) -> dict[str, str]:
        left = set(self.names) - set(self.columns.values()) - set(self.ignore) if "*" not in self.ignore else set()
        standard = {alias for aliases in ALIASES.values() for alias in aliases}
        return {**{name: name for name in self.names if name in left and name.casefold() not in standard}, **self.columns}

    def read(self) -> pd.DataFrame:
        """See `SourceSettings.read`."""
        return read_csv(self)


class ParquetSource(FileSource):
    """Parquet files."""

    kind: Literal["parquet"] = "parquet"

    def read(self) -> pd.DataFrame:
        """See `SourceSettings.read`."""
        return read_parquet(self)
