"""CSV and Parquet: a file, a folder, a glob or an fsspec URL; one file an entity, one long table, or wide ones with a column an entity."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_serializer, field_validator, model_validator

from pipelines.errors import FinflowError
from pipelines.names import check_name
from pipelines.redaction import redacted
from pipelines.sources.base import SourceSettings

if TYPE_CHECKING:
    import pandas as pd

STANDARD = ("entity", "time", "open", "high", "low", "close", "volume", "known_at")
MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "-", "--")
KEYS = ("entity", "time", "known_at")
RESERVED = ("period",)

Character = Annotated[str, Field(min_length=1, max_length=1)]


class FileSource(SourceSettings):
    """What CSV and Parquet files have in common.

    A column that the definition does not name is an error and not carried along in silence: `columns` maps finflow's names to the file's
    headers, the standard names (entity, time or date, open, high, low, close, volume, known_at; in any case) are found by themselves, and
    `ignore` lists the rest.

    With `wide` the file has a column an entity. Then every column beside the time is one, by its header's name or by the one that `columns`
    gives it, and an empty cell is no observation: a currency that begins late, pauses or vanishes has no rows there.
    """

    path: str = Field(
        min_length=1, description="a file, a folder, a glob (quotes/*.csv) or a URL (s3://bucket/quotes); ${NAME} reads a variable"
    )
    columns: dict[str, str] = Field(default_factory=dict, description="finflow's name -> the file's header, as {close: 收盘}")
    ignore: tuple[str, ...] = Field(default=(), description='headers that are left out; "*" leaves out whatever is not named')
    text: tuple[str, ...] = Field(default=(), description="finflow's names of the value columns that stay text; the others are numbers")
    wide: str | None = Field(
        default=None, description="the file has a column an entity; its cells are this value column (close), and empty ones no row"
    )
    entity: str | None = Field(default=None, description="the entity of all rows; none: the entity column, else each file's name")
    date_format: str | None = Field(default=None, description="as strptime takes it (%d/%m/%Y); none: ISO dates, 20180102 and 2018/01/02")
    timezone: str | None = Field(default=None, description="IANA zone of times without one; times at its midnight are session dates")
    maximum_rows: int = Field(default=50_000_000, ge=1, description="more rows than this are refused before they are read")
    maximum_columns: int = Field(default=2_000, ge=1, description="a wider file is refused before it is read")
    maximum_cells: int = Field(
        default=200_000_000, ge=1, description="rows times columns read, 8 bytes of text counting as one cell; more is refused"
    )
    maximum_cells_per_byte: int = Field(default=100, ge=1, description="cells that a byte of a packed file may hold")
    _folder: Path | None = PrivateAttr(default=None)

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        if any(ord(character) < 32 for character in value):
            raise ValueError(f"path {value!r} holds a control character")
        return value

    @field_validator("entity", "wide")
    @classmethod
    def _name(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value if value is None else _named(value, "entity" if info.field_name == "entity" else "column")

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str | None) -> str | None:
        import zoneinfo

        try:
            if value is not None:
                zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone {value!r}: use an IANA name such as Europe/Berlin or Asia/Shanghai") from None
        return value

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        for name in self.columns:
            _named(name, "column")
            if name in RESERVED:
                raise ValueError(f"column {name!r} is finflow's own: choose another name")
        if self.entity is not None and "entity" in self.columns:
            raise ValueError("give `entity` or map an entity column, not both")
        wrong = sorted(set(self.text) & set(STANDARD))
        if wrong:
            raise ValueError(f"text: {wrong} have a type of their own")
        if self.wide is not None:
            self._check_wide(self.wide)
        unmapped = sorted(set(self.text) - set(self.columns))
        if unmapped:
            raise ValueError(f"text: {unmapped} are not among `columns`; map each to its header there")
        return self

    def _check_wide(self, value: str) -> None:
        if value in KEYS or value in RESERVED:
            raise ValueError(f"wide: {value!r} is no value column: say what the cells are, as `wide: close`")
        if self.entity is not None or "entity" in self.columns or self.text:
            raise ValueError("wide: its columns are the entities and its cells are numbers: leave out `entity` and `text`")

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
    delimiter: Character = ","
    quote: Character = '"'
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'", "\u00a0"] | None = Field(default=None, description="the character between thousands")
    skip_rows: int = Field(default=0, ge=0, le=1000, description="lines before the header")
    missing: tuple[str, ...] = Field(default=MISSING, description="cells that mean: no value")

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        import codecs

        try:
            codecs.lookup(value)
            "a,1\n".encode(value)
        except (LookupError, ValueError, TypeError, AttributeError):
            raise ValueError(f"no text encoding {value!r}: use utf-8, latin-1, gb18030 ...") from None
        return value

    @model_validator(mode="after")
    def _characters_differ(self) -> Self:
        if self.delimiter == self.decimal:
            raise ValueError(f"delimiter and decimal are both {self.delimiter!r}: one of them is another character")
        if self.thousands == self.decimal:
            raise ValueError(f"thousands and decimal are both {self.decimal!r}: one of them is another character")
        return self

    def read(self) -> pd.DataFrame:
        """See `SourceSettings.read`."""
        from pipelines.sources.tables import read_csv

        return read_csv(self)


class ParquetSource(FileSource):
    """Parquet files."""

    kind: Literal["parquet"] = "parquet"

    def read(self) -> pd.DataFrame:
        """See `SourceSettings.read`."""
        from pipelines.sources.tables import read_parquet

        return read_parquet(self)


def _named(value: str, what: str) -> str:
    try:
        return check_name(value, what)
    except FinflowError as error:
        raise ValueError(str(error)) from None
