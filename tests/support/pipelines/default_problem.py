"""A problem of plain rows for tests: whether an applicant defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.problems.base import Problem, Targets


class DefaultSettings(Settings):
    kind: Literal["default"] = "default"


class Default(Problem):
    """Will the applicant default? Known at once here."""

    Settings = DefaultSettings

    @property
    def required(self) -> tuple[str, ...]:
        return ("defaulted",)

    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        time = clean["time"].to_numpy().astype("datetime64[ns]")
        values = clean[["defaulted"]].to_numpy(dtype=np.float32)
        return Targets(values, time, time, time[:, None], np.full(len(clean), np.nan))

    def task(self, columns: tuple[str, ...], features: tuple[str, ...]) -> Task:
        return Task("probabilities", 1, (), ("repaid", "defaulted"), columns, features, self.window.length)

    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Any]:
        return {}

    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Any) -> list[Any]:
        return []

    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        return {}

    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        names = np.asarray(entities, dtype=object)[index.entity]
        frame = pd.DataFrame(
            {"entity": pd.array(names, dtype="str"), "time": index.time, "target_time": index.target_time[:, 0], "horizon": 1}
        )
        return frame.assign(p_repaid=prediction.values[:, 0].astype(float), p_defaulted=prediction.values[:, 1].astype(float))
