"""The features of clean rows: columns of numbers, and a block of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.rows.categories import MISSING, category_codes
from finflow.pipelines.core.category_texts import distinct_texts
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.features.kinds import CATEGORY, FEATURES, check_features
from finflow.pipelines.features.panel import Panel

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


def numeric_features(definition: Definition) -> tuple[str, ...]:
    """Names of the features that are numbers, in the definition's order."""
    return tuple(feature.label for feature in definition.features if feature.kind != CATEGORY)


def categorical_features(definition: Definition) -> tuple[str, ...]:
    """Names of the features that are categories, in the definition's order."""
    return tuple(feature.label for feature in definition.features if feature.kind == CATEGORY)


def feature_reach(definition: Definition) -> int:
    """Observations before a row that its features read: the history that goes by before the first window can begin."""
    reaches = [max((feature.window or 1) - 1 + FEATURES[feature.kind].reach + feature.shift, 0) for feature in definition.features]
    return max(reaches)


def feature_frame(definition: Definition, clean: pd.DataFrame) -> pd.DataFrame:
    """The features of every clean row that are numbers, float64, in the definition's order, on the index of `clean`.

    Args:
        clean: `entity`, `time` and the columns that the features need, sorted by entity and time.

    Raises:
        DefinitionError: an unknown kind, or a column that the data do not have.
    """

    check_features(definition.features)

    panel = Panel(clean, problem_of(definition).outcomes)
    columns = {}
    with np.errstate(all="ignore"):  # overflow and 0/0 end as NaN or infinity, and no window holds those
        for feature in definition.features:
            if feature.kind == CATEGORY:
                continue
            columns[feature.label] = panel.previous(FEATURES[feature.kind].function(panel, feature), feature.shift)
    return pd.DataFrame(columns, index=clean.index)


def category_block(definition: Definition, clean: pd.DataFrame) -> NDArray[np.int64]:
    """The features of every clean row that are categories: int64, [rows, categories], a code each (models/rows/categories.py), 0 where
    missing.

    Raises:
        DefinitionError: a column that the data do not have.
    """
    wanted = [feature for feature in definition.features if feature.kind == CATEGORY]
    codes = np.zeros((len(clean), len(wanted)), dtype=np.int64)
    for number, feature in enumerate(wanted):
        if feature.column not in clean.columns:
            there = ", ".join(str(name) for name in clean.columns if name not in ("entity", "time", "known_at", "period"))
            raise DefinitionError(f"features: the data have no column {feature.column!r}: there are {there}.")
        place, names = distinct_texts(clean[feature.column])
        codes[:, number] = np.append(category_codes(names), MISSING)[place]  # place -1 is the last
    return codes
