"""Models of rows whose fitted state is arrays by name, in one safetensors file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Contributions, ModelSettings, Task
from finflow.models.reading import STATE
from finflow.models.rows.tabular import TabularModel
from finflow.models.samples import Float64


class TabularArrays(TabularModel):
    """The state is empty before the model was fitted or loaded."""

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.state: dict[str, NDArray] = {}

    def save_rows(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(array) for name, array in self.state.items()}, folder / STATE)

    def load_rows(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        self.state = load_file(folder / STATE)


def sum_of_parts(parts: Float64, base: float) -> Contributions:
    """Contributions of a score that is a base and a sum of parts, float64, [n, features + categories]."""
    whole = np.full(len(parts), base)
    return Contributions(parts.astype(np.float32), whole.astype(np.float32), (parts.sum(axis=1) + whole).astype(np.float32))
