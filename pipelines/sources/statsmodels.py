"""Quarterly macroeconomic data that come with the `statsmodels` package: one entity, a column a series."""

from __future__ import annotations

from typing import Literal

import pandas as pd
from pydantic import Field, field_validator

from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.core.names import check_name
from finflow.pipelines.sources.base import SourceSettings
from finflow.pipelines.sources.packaged import package_file


class StatsmodelsSource(SourceSettings):
    """`statsmodels.datasets.macrodata`: the United States, 1959 to the third quarter of 2009, dated the quarter's last day.

    Columns: `realgdp`, `realcons`, `realinv`, `realgovt`, `realdpi` (billions of chained 2005 dollars), `cpi` (end of the quarter), `m1`,
    `tbilrate` (three-month Treasury bill, percent, mean over the quarter), `unemp` (percent), `pop`, `infl` (percent a year) and `realint`.
    It is one vintage, of late 2009: a quarter's numbers are those after all revisions, not those first published.
    """

    kind: Literal["statsmodels"] = "statsmodels"
    dataset: Literal["macrodata"] = Field(default="macrodata", description="the data set of statsmodels")
    entity: str = Field(default="US", description="what its one entity is called")

    @field_validator("entity")
    @classmethod
    def _entity(cls, value: str) -> str:
        try:
            return check_name(value, "entity")
        except FinflowError as error:
            raise ValueError(str(error)) from None

    @property
    def grows(self) -> bool:
        return False

    def read(self) -> pd.DataFrame:
        """Columns entity, time, and the series (float64)."""
        try:
            loaded = pd.read_csv(package_file("statsmodels", "datasets", self.dataset, f"{self.dataset}.csv"))
        except (ImportError, OSError) as error:
            raise SourceError(
                f"dataset {self.dataset!r} cannot be read ({error}): is the `statsmodels` package installed whole?"
            ) from error
        year, quarter = loaded.pop("year").astype(int), loaded.pop("quarter").astype(int)
        quarters = pd.PeriodIndex(year.astype(str) + "Q" + quarter.astype(str), freq="Q")
        frame = loaded.astype("float64")
        frame.insert(0, "entity", pd.Series([self.entity] * len(frame), dtype="str"))
        frame.insert(1, "time", quarters.end_time.normalize().as_unit("us"))
        return frame
