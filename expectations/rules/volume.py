"""Volume is not negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import numeric
from finflow.expectations.rule import Core, Mask, RowRule, between


@dataclass(frozen=True)
class VolumeNotNegative(RowRule):
    """Zero is a suspension or an index; less is an error."""

    name = "volume_not_negative"
    severity = "row"
    statement = "volume >= 0"
    remedy = "correct the volumes at the source"

    def core(self, batch: pd.DataFrame) -> list[Core]:
        return [between(column, min_value=0) for column, _ in numeric(batch, ["volume"])]

    def broken(self, batch: pd.DataFrame) -> Mask:
        volumes = dict(numeric(batch, ["volume"]))
        return volumes["volume"] < 0 if "volume" in volumes else np.zeros(len(batch), dtype=bool)

    def example(self, row: pd.Series) -> str:
        return f"volume {row['volume']:g}"
