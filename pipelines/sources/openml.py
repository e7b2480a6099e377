"""A data set of OpenML (openml.org), fetched once through scikit-learn and kept: for those with internet."""

from __future__ import annotations

from typing import Any, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.redaction import are_cells_hidden
from finflow.pipelines.sources.budget import check_cells, check_rows, check_width
from finflow.pipelines.sources.headers import match_columns
from finflow.pipelines.sources.mapping import TableSource
from finflow.pipelines.sources.tables import long_rows, with_keys
from finflow.pipelines.sources.values import from_typed


class OpenmlSource(TableSource):
    """A data set by `name` and `version` or by `id`; credit-g is 31, by `{name: credit-g, version: 1}`.

    Its columns are mapped as those of files are. Nominal columns are text and belong under `text`. Most data sets have neither ids nor
    times: give `numbered` and `date`. The answer is kept in FINFLOW_HOME, and a stored data set of OpenML never changes.
    """

    kind: Literal["openml"] = "openml"
    name: str | None = Field(default=None, min_length=1, max_length=200, description="OpenML's name of the data set, with `version`")
    version: int | None = Field(default=None, ge=1, description="of the data set of that name")
    id: int | None = Field(default=None, ge=1, description="OpenML's number of the data set, in place of name and version")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.id is None) == (self.name is None) or (self.name is None) != (self.version is None):
            raise ValueError("give `id`, or `name` with `version`")
        return self

    @property
    def grows(self) -> bool:
        return False

    @property
    def path(self) -> str:
        """What messages call it."""
        return f"OpenML's data set {self.id if self.name is None else f'{self.name}, version {self.version}'}"

    def read(self) -> pd.DataFrame:
        """See `SourceSettings.read`."""
        import pyarrow as pa

        given = self._fetched()
        headers = [str(name) for name in given.columns]
        check_width(self, self.path, len(headers))
        check_rows(self, self.path, len(given), self.maximum_rows)
        chosen = match_columns(self, headers, self.path)
        check_cells(self, self.path, len(given), len(chosen))
        columns = {}
        for name, place in chosen.items():
            cells = given.iloc[:, place]
            cells = cells.astype("str") if isinstance(cells.dtype, pd.CategoricalDtype) else cells
            columns[name] = from_typed(self, name, pa.chunked_array([pa.array(cells, from_pandas=True)]), self.path)
        frame = pd.DataFrame(columns)
        if self.wide is not None:
            frame = long_rows(frame, self.wide)
        if self.entity is not None:
            frame.insert(0, "entity", pd.Series([self.entity] * len(frame), dtype="str").to_numpy())
        if "entity" not in frame and self.numbered is None:
            raise SourceError(f"{self.path}: no column is the entity; map one, or say `numbered: applicant`.")
        with_keys(self, frame)
        return frame

    def _fetched(self) -> pd.DataFrame:
        from sklearn.datasets import fetch_openml

        which: dict[str, Any] = {"data_id": self.id} if self.name is None else {"name": self.name, "version": self.version}
        folder = Home.from_environment().root / "openml"
        try:
            dataset = fetch_openml(**which, data_home=str(folder), as_frame=True, parser="pandas", target_column=None)
        except Exception as error:  # of its web client, of OpenML, of the parser: all mean the same here
            why = type(error).__name__ + ("" if are_cells_hidden() else f": {' '.join(str(error).split())[:200]}")
            raise SourceError(
                f"{self.path}: cannot be fetched ({why}). Check the name and the connection, or download it and use `kind: csv`."
            ) from None
        frame: pd.DataFrame = dataset.frame if dataset.frame is not None else dataset.data
        return frame
