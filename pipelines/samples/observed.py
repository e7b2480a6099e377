"""Clean rows laid out as observations: sorted, cut into runs at forbidden gaps, and turned into columns of numbers and of codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import CATEGORIES
from finflow.pipelines.core.errors import ContractError, DefinitionError
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.features.panel import SEGMENT, first_rows
from finflow.pipelines.samples.features import categorical_features, category_block, feature_frame
from finflow.pipelines.samples.rows import breaks_of

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


@dataclass(frozen=True, eq=False)
class Columns:
    """What is observed of rows: the features and the problem's own columns.

    Attributes:
        names: of the columns of `values`.
        values: float32, [rows, columns], C-contiguous.
        blocks: int64 codes of categories, [rows, categories], where there are some.
        breaks: bool, [rows]; a gap that the definition forbids lies between the row and its entity's one before.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    blocks: dict[str, NDArray[Any]]
    breaks: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Observed:
    """Rows and their columns.

    Attributes:
        rows: as the problem arranges them, sorted by entity and time, index 0..n-1, with `__segment`.
        first: int64, [entities + 1]; where each entity's rows begin, and the end.
        time: datetime64[ns], [rows].
    """

    rows: pd.DataFrame
    first: NDArray[np.int64]
    time: NDArray[np.datetime64]
    columns: Columns


def observe(definition: Definition, clean: pd.DataFrame) -> Observed:
    """Lay out clean rows, in any order.

    Raises:
        DefinitionError: a column is missing, or a feature has the name of one of the problem's own columns.
        ContractError: an entity has two rows of one time.
    """
    problem = problem_of(definition)
    _require_columns(clean, ("entity", "time", *problem.required))
    clean = problem.arrange(_in_order(clean))
    first = first_rows(clean)
    time = clean["time"].to_numpy().astype("datetime64[ns]")
    if problem.independent:
        breaks = np.zeros(len(time), dtype=bool)  # nothing is taken across a gap
    else:
        breaks = breaks_of(time, first, definition.calendar, definition.window.maximum_gap)
    begins = breaks.copy()
    begins[first[:-1]] = True
    return Observed(clean, first, time, observe_runs(definition, clean, breaks, begins))


def observe_runs(definition: Definition, rows: pd.DataFrame, breaks: NDArray[np.bool_], begins: NDArray[np.bool_]) -> Columns:
    """The columns of arranged rows; `rows` gets `__segment`.

    Args:
        begins: bool, [rows]; a run of rows begins, before which nothing is read.

    Raises:
        DefinitionError: see `observe`.
    """
    rows[SEGMENT] = np.cumsum(begins)
    features = feature_frame(definition, rows)
    observed = problem_of(definition).observe(rows)
    twice = sorted(set(features.columns) & set(observed.columns))
    if twice:
        raise DefinitionError(f"features: {twice} are names of the problem's own columns; give the features another `name`.")
    names = tuple(str(name) for name in (*features.columns, *observed.columns))
    blocks = {CATEGORIES: category_block(definition, rows)} if categorical_features(definition) else {}
    return Columns(names, _tensor(features, observed), blocks, breaks)


def _require_columns(clean: pd.DataFrame, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in clean.columns]
    if missing:
        raise DefinitionError(f"the data have no column {', '.join(map(repr, missing))}: there are {', '.join(map(str, clean.columns))}.")


def _in_order(clean: pd.DataFrame) -> pd.DataFrame:
    """Sorted by entity and time, index 0..n-1.

    Raises:
        ContractError: an entity has two rows of one time.
    """
    clean = clean.sort_values(["entity", "time"], kind="stable", ignore_index=True)
    twice = clean.duplicated(["entity", "time"])
    if twice.any():
        row = clean[twice].iloc[0]
        raise ContractError(f"entity {row['entity']!r} has two rows of {row['time']}: a clean batch has one row for each entity and time.")
    return clean


def _tensor(features: pd.DataFrame, observed: pd.DataFrame) -> NDArray[np.float32]:
    """float32, [rows, columns], C-contiguous."""
    values = np.empty((len(features), features.shape[1] + observed.shape[1]), dtype=np.float32)
    with np.errstate(over="ignore"):  # beyond float32: infinite, and no window holds it
        for number, name in enumerate(features.columns):
            values[:, number] = features[name].to_numpy()
        for number, name in enumerate(observed.columns):
            values[:, features.shape[1] + number] = observed[name].to_numpy()
    return values
