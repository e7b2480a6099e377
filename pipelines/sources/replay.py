"""A stored history, released one session at a time: scheduled runs, freshness and drift can be lived offline."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.settings import ByKind, Settings
from finflow.pipelines.core.whole_files import write_whole
from finflow.pipelines.sources.base import SourceSettings, source_settings


def _sources() -> dict[str, type[Settings]]:
    return {kind: found for kind, found in source_settings().items() if kind != "replay"}


class ReplaySource(SourceSettings):
    """Wraps another source and hides what lies after its clock.

    What is up to `start` is there from the beginning. The clock is one of

    - `until`: a fixed date;
    - `clock`: a text file that holds a date; without the file the clock stands at `start`. `advance` moves it on, and so does an editor;
    - `began`: an instant since when `sessions_per_day` sessions have been released every 24 hours (24 is one an hour, 1440 one a minute),
      so that a schedule finds something new each time without anybody moving a clock.

    Reading never moves a clock: reading twice gives the same rows, and a killed run can be run again.
    """

    kind: Literal["replay"] = "replay"
    source: Annotated[Any, ByKind("source", _sources)] = Field(
        description="the source whose rows are released: any other kind, and its settings"
    )
    start: datetime.date = Field(description="the last date that is there from the beginning")
    until: datetime.date | None = Field(default=None, description="the last date released")
    clock: str | None = Field(default=None, description="a text file with the last date released")
    began: datetime.datetime | None = Field(
        default=None, description="when the release of one session after another began (UTC if it names no zone)"
    )
    sessions_per_day: float = Field(default=1.0, gt=0, le=86_400, description="sessions released every 24 hours since `began`")

    @model_validator(mode="after")
    def _one_clock(self) -> ReplaySource:
        given = [name for name in ("until", "clock", "began") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a replay has one clock: give `until` (a date), `clock` (a file) or `began` (an instant), not {given or 'none'}"
            )
        if self.until is not None and self.until < self.start:
            raise ValueError(f"until {self.until} lies before start {self.start}")
        return self

    @property
    def offered(self) -> tuple[str, ...] | None:
        offered: tuple[str, ...] | None = self.source.offered
        return offered

    @property
    def grows(self) -> bool:
        return self.until is None

    def in_zone(self, zone: str) -> Self:
        return self.model_copy(update={"source": self.source.in_zone(zone)})

    def resolved(self, folder: Path) -> Self:
        clock = self.clock and str(folder / Path(self.clock).expanduser())
        return self.model_copy(update={"source": self.source.resolved(folder), "clock": clock})

    def read(self) -> pd.DataFrame:
        """The wrapped source's rows whose time is not after the clock's date."""
        return self._released(self.source.read(), datetime.datetime.now(datetime.UTC))

    def advance(self, sessions: int = 1) -> datetime.date:
        """Move a clock file on by so many sessions of the stored history, and return its new date.

        Raises:
            SourceError: this replay has no clock file, or the history has ended.
        """
        if self.clock is None:
            raise SourceError("this replay has no clock file to advance: give it `clock: FILE` in place of `until` or `began`.")
        position = self._clock_date()
        later = [date for date in _dates(self.source.read()) if date > position]
        if len(later) < sessions:
            raise SourceError(f"{self.clock}: stands at {position}, and the stored history has only {len(later)} sessions after it.")
        path = Path(self.clock)
        write_whole(path, f"{later[sessions - 1].isoformat()}\n")
        return later[sessions - 1]

    def _released(self, frame: pd.DataFrame, now: datetime.datetime) -> pd.DataFrame:
        if self.began is None:
            last = self.until if self.until is not None else self._clock_date()
        else:
            began = self.began if self.began.tzinfo else self.began.replace(tzinfo=datetime.UTC)
            count = max(0, int((now - began).total_seconds() / 86_400 * self.sessions_per_day))
            later = [date for date in _dates(frame) if date > self.start][:count]
            last = later[-1] if later else self.start
        return frame[frame["time"] < pd.Timestamp(last) + pd.Timedelta(days=1)].reset_index(drop=True)

    def _clock_date(self) -> datetime.date:
        path = Path(str(self.clock))
        try:
            text = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return self.start
        except (OSError, ValueError) as error:
            raise SourceError(f"{path}: the replay's clock cannot be read ({error}).") from None
        try:
            return max(self.start, datetime.date.fromisoformat(text))
        except ValueError:
            raise SourceError(f"{path}: the replay's clock holds {text[:40]!r}; expected one date such as 2018-01-31.") from None


def _dates(frame: pd.DataFrame) -> list[datetime.date]:
    return [stamp.date() for stamp in sorted(set(frame["time"].dt.normalize().dropna()))]
