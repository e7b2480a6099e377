"""What every source is: settings that a person writes, and a function that reads rows."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from finflow.pipelines.core.settings import Settings

if TYPE_CHECKING:
    import pandas as pd


class SourceSettings(Settings):
    """Settings of one kind of source; the kind is a Literal field called `kind`."""

    @abstractmethod
    def read(self) -> pd.DataFrame:
        """Every row the source holds now.

        Returns:
            `entity` (str), `time` (datetime64[us], naive: a session's date at midnight, or an instant in UTC), value columns
            (float64, or str where text), and `known_at` (datetime64[us, UTC]) if the source knows its vintage. Any order; duplicates
            are kept for the contract to judge.

        Raises:
            SourceError: naming file, column, row or key, what was expected, and what to do.
        """

    @property
    def offered(self) -> tuple[str, ...] | None:
        """Every column that a read may give, as far as the settings alone say it; None: only a read does."""
        return None

    @property
    def grows(self) -> bool:
        """Whether a later read may find newer rows. A stored history never does, and a schedule over it begins paused."""
        return True

    def in_zone(self, zone: str) -> Self:
        """The same settings for a calendar whose days begin and end in this IANA zone, which a date alone needs to be an instant."""
        return self

    def resolved(self, folder: Path) -> Self:
        """The same settings with relative paths made absolute against the folder of the definition file."""
        return self


#: every source by its kind; filled in `pipelines/sources/__init__.py`, and here so that a source may hold another one
SOURCES: dict[str, type[SourceSettings]] = {}


def source_settings() -> dict[str, type[Settings]]:
    return dict(SOURCES)
