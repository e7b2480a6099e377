"""How the columns of any table become finflow's: what a person writes of it, for files, databases and data sets alike."""

from __future__ import annotations

import datetime
import zoneinfo
from collections import Counter
from typing import Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.names import check_name
from finflow.pipelines.sources.base import SourceSettings

STANDARD = ("entity", "time", "open", "high", "low", "close", "volume", "known_at")
KEYS = ("entity", "time", "known_at")
RESERVED = ("period", "withdrawn")


class TableSource(SourceSettings):
    """What sources of tables have in common.

    A column that the definition does not name is an error and not carried along in silence: `columns` maps finflow's names to the table's
    headers, the standard names (entity, time or date, open, high, low, close, volume, known_at; in any case) are found by themselves, and
    `ignore` lists the rest.

    With `wide` the table has a column an entity. Then every column beside the time is one, by its header's name or by the one that
    `columns` gives it, and an empty cell is no observation: a currency that begins late, pauses or vanishes has no rows there.

    A table of rows that are nobody's twice (applicants) may have neither id nor time: `numbered: applicant` makes of its rows the entities
    applicant-000001, applicant-000002 ... in their order, and `date` dates them all alike.
    """

    columns: dict[str, str] = Field(default_factory=dict, description="finflow's name -> the table's header, as {close: 收盘}")
    ignore: tuple[str, ...] = Field(default=(), description='headers that are left out; "*" leaves out whatever is not named')
    text: tuple[str, ...] = Field(default=(), description="finflow's names of the value columns that stay text; the others are numbers")
    wide: str | None = Field(
        default=None, description="the table has a column an entity; its cells are this value column (close), and empty ones no row"
    )
    entity: str | None = Field(default=None, description="the entity of all rows; none: the entity column, else each file's name")
    numbered: str | None = Field(default=None, description="no id in the table: rows become entities of this name and their number")
    date: datetime.date | None = Field(default=None, description="no time in the table: every row gets this date")
    date_format: str | None = Field(default=None, description="as strptime takes it (%d/%m/%Y); none: ISO dates, 20180102 and 2018/01/02")
    timezone: str | None = Field(default=None, description="IANA zone of times without one; times at its midnight are session dates")
    maximum_rows: int = Field(default=50_000_000, ge=1, description="more rows than this are refused before they are read")
    maximum_columns: int = Field(default=2_000, ge=1, description="a wider table is refused before it is read")
    maximum_cells: int = Field(
        default=200_000_000, ge=1, description="rows times columns read, 8 bytes of text counting as one cell; more is refused"
    )

    _calendar_zone: str = PrivateAttr(default="UTC")

    @field_validator("entity", "wide", "numbered")
    @classmethod
    def _name(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value if value is None else _named(value, "column" if info.field_name == "wide" else "entity")

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone {value!r}: use an IANA name such as Europe/Berlin or Asia/Shanghai") from None
        return value

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        mapped = self.mapped
        for name in mapped:
            _named(name, "column")
            if name.casefold() in RESERVED:
                raise ValueError(f"column {name!r} is finflow's own: choose another name")
        if self.wide is None and len({name.casefold() for name in mapped}) < len(mapped):
            counts = Counter(name.casefold() for name in mapped)
            alike = [name for name in mapped if counts[name.casefold()] > 1]
            raise ValueError(f"columns: {', '.join(alike)} differ in capitals alone, which no table can hold: give one another name")
        given = [name for name in ("entity", "numbered") if getattr(self, name) is not None] + ["columns"] * ("entity" in mapped)
        if len(given) > 1:
            raise ValueError("give `entity`, or `numbered`, or map an entity column, not both")
        if self.date is not None and "time" in mapped:
            raise ValueError("give `date` or map a time column, not both")
        wrong = sorted(set(self.text) & set(STANDARD))
        if wrong:
            raise ValueError(f"text: {wrong} have a type of their own")
        if self.wide is not None:
            self._check_wide(self.wide)
        unmapped = sorted(set(self.text) - set(mapped))
        if unmapped:
            raise ValueError(f"text: {unmapped} are not among `columns`; map each to its header there")
        return self

    def _check_wide(self, value: str) -> None:
        if value in KEYS or value in RESERVED:
            raise ValueError(f"wide: {value!r} is no value column: say what the cells are, as `wide: close`")
        if self.entity is not None or "entity" in self.columns or self.text:
            raise ValueError("wide: its columns are the entities and its cells are numbers: leave out `entity` and `text`")
        if self.numbered is not None or self.date is not None:
            raise ValueError("wide: its columns are the entities, each with its times: leave out `numbered` and `date`")

    @property
    def day_zone(self) -> str:
        """The IANA zone in which days begin and end: that of `timezone`, or the calendar's, or UTC."""
        return self.timezone or self._calendar_zone

    def in_zone(self, zone: str) -> Self:
        placed = self.model_copy()
        placed._calendar_zone = zone
        return placed

    @property
    def offered(self) -> tuple[str, ...] | None:
        if self.wide is not None:
            return (*KEYS, self.wide)
        return (*self.mapped, *(name for name in STANDARD if name not in self.mapped))

    @property
    def mapped(self) -> dict[str, str]:
        """finflow's name -> header, of every column that the settings name."""
        return self.columns


def _named(value: str, what: str) -> str:
    try:
        return check_name(value, what)
    except FinflowError as error:
        raise ValueError(str(error)) from None
