"""Market data that come with the `arch` package: something real to begin with, offline."""

from __future__ import annotations

from typing import Literal

import pandas as pd
from pydantic import Field, field_validator

from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.core.names import check_name
from finflow.pipelines.sources.base import SourceSettings
from finflow.pipelines.sources.packaged import package_file

Series = Literal["sp500", "nasdaq", "vix", "wti", "default.AAA", "default.BAA"]
BARS = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}


class ArchSource(SourceSettings):
    """Series of `arch.data` (Kevin Sheppard's arch package) as one panel.

    `sp500` and `nasdaq` are daily bars of 1999-2018. The others hold one value, which is open, high, low and close at once, with a volume
    of 0: `vix` and `wti` a price a day; `default.AAA` and `default.BAA` a yield a month of 1919-2018, in percent, dated the month's first
    day (Moody's seasoned corporate bonds, means over the month).
    """

    kind: Literal["arch"] = "arch"
    series: dict[str, Series] = Field(min_length=1, description="entity -> name of the series in arch.data; `default.AAA`: a column of one")

    @field_validator("series")
    @classmethod
    def _names(cls, value: dict[str, Series]) -> dict[str, Series]:
        for entity in value:
            try:
                check_name(entity, "entity")
            except FinflowError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def grows(self) -> bool:
        return False

    def read(self) -> pd.DataFrame:
        """Columns entity, time, open, high, low, close, volume (float64)."""
        return pd.concat([_bars(entity, name) for entity, name in self.series.items()], ignore_index=True)


def _bars(entity: str, name: str) -> pd.DataFrame:
    try:
        loaded = _load(name)
    except (ImportError, OSError) as error:
        raise SourceError(f"series {name!r} of arch.data cannot be read ({error}): is the `arch` package installed whole?") from error
    if "Close" in loaded:
        values = loaded[list(BARS)].rename(columns=BARS)
    else:
        price = loaded[name.partition(".")[2] or loaded.columns[0]].dropna()
        values = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), price)).assign(volume=0.0)
    frame = values.astype("float64").reset_index(drop=True)
    frame.insert(0, "entity", pd.Series([entity] * len(frame), dtype="str"))
    frame.insert(1, "time", pd.DatetimeIndex(values.index).as_unit("us"))
    return frame


def _load(name: str) -> pd.DataFrame:
    """What `arch.data.<name>.load()` gives (of `name.COLUMN`, all columns), without the 1.5 s that importing arch's models takes.

    Raises:
        ImportError: there is no such package.
        OSError: its file is not there.
    """
    folder = name.partition(".")[0]
    file = package_file("arch", "data", folder, f"{folder}.csv.gz")
    return pd.read_csv(file, index_col="Date", parse_dates=["Date"]).apply(pd.to_numeric, errors="coerce")
