"""What MLflow hands to a caller of a served version: raw feature rows in, answers out, as arrays or frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.answers import ANSWERS
from finflow.models.base import Model, Prediction
from finflow.models.rows.categories import category_codes
from finflow.models.samples import Float32, Int64, from_windows
from finflow.pipelines.core.category_texts import texts_of
from finflow.pipelines.problems.quantile_scores import quantile_column


class PyfuncModel:
    """What MLflow hands to a caller: raw feature rows in, quantiles (or classes, scores, paths) out.

    Attributes:
        model: the fitted model.
        manifest: what the version's manifest says.
    """

    def __init__(self, model: Model, manifest: dict[str, Any]) -> None:
        self.model = model
        self.manifest = manifest

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Predict from raw observations.

        Args:
            model_input: an array [n, rows, columns], each window's rows in time order, columns as in `manifest["task"]["columns"]`; where
                the task has categories, a mapping with this array as `values` and one of codes (models/rows/categories.py) as `categories`;
                or a pandas frame of raw feature rows with these columns by name (categories as text), in time order: with a column
                `entity` one window an entity, each ending at the entity's last row; without it one window, or as many as rows where a
                sample is one row.
            params: none are known.

        Returns:
            For an array: float32 as `finflow.models.base.Prediction` lays it out. For a frame: a frame with a row a window, columns
            `h1_q05`, ... (or a class name, `h1`), indexed by entity.

        Raises:
            ValueError: too few rows, a missing column, a value that is not finite, or a category of a float32 that has lost digits.
        """
        if isinstance(model_input, pd.DataFrame):
            names, windows, codes = self._windows_of(model_input)
            return self._as_frame(self._predict(windows, codes), names)
        if isinstance(model_input, dict):
            unknown = sorted(set(model_input) - {"values", "categories"})
            if unknown or "values" not in model_input:
                raise ValueError(f"the input has the keys {sorted(model_input)}; expected values, and categories where the task has some")
            codes = model_input.get("categories")
            return self._predict(np.asarray(model_input["values"], dtype=np.float32), None if codes is None else np.asarray(codes)).values
        return self._predict(np.asarray(model_input, dtype=np.float32), None).values

    def _predict(self, windows: Float32, codes: Int64 | None) -> Prediction:
        task = self.model.task
        if windows.ndim != 3 or windows.shape[2] != len(task.columns) or windows.shape[1] < task.length:
            raise ValueError(
                f"the input has shape {windows.shape}; expected [windows, at least {task.length} rows, {len(task.columns)} columns: "
                f"{', '.join(task.columns)}]"
            )
        recent = windows[:, -task.length :]
        if not (~np.isinf(recent) if task.missing else np.isfinite(recent)).all():
            raise ValueError(f"a value in the last {task.length} rows of a window is not finite")
        if not task.categories:
            return predict_windows(self.model, fitted_context(windows, self.model.context))
        expected = (*windows.shape[:2], len(task.categories))
        if codes is None or codes.shape != expected or codes.dtype.kind not in "iu":
            given = "absent" if codes is None else f"{codes.dtype} of shape {codes.shape}"
            raise ValueError(f"the codes of the categories {', '.join(task.categories)} are {given}; expected int64 of shape {expected}")
        context = self.model.context
        return predict_windows(self.model, fitted_context(windows, context), fitted_context(codes.astype(np.int64), context))

    def _windows_of(self, frame: pd.DataFrame) -> tuple[list[Any], Float32, Int64 | None]:
        task = self.model.task
        columns, categories, context = list(task.columns), list(task.categories), self.model.context
        absent = [name for name in (*columns, *categories) if name not in frame.columns]
        if absent:
            raise ValueError(
                f"the frame has no column {', '.join(absent)}; expected {', '.join((*columns, *categories))}, and `entity` if there are "
                "several"
            )
        repeated = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        if repeated:
            raise ValueError(f"the frame has the column {', '.join(repeated)} more than once")
        if "entity" in frame.columns and frame["entity"].isna().any():
            raise ValueError(f"{int(frame['entity'].isna().sum())} rows of the frame have no entity: whose they are, nobody could say")
        values = np.column_stack([_numbers(frame[name], name) for name in columns]) if columns else np.empty((len(frame), 0), np.float32)
        codes = np.column_stack([category_codes(_texts(frame[name], name)) for name in categories]) if categories else None
        if "entity" not in frame.columns and context == 1:
            return list(frame.index), values[:, None], None if codes is None else codes[:, None]
        places = frame.groupby("entity", sort=False).indices if "entity" in frame.columns else {0: np.arange(len(frame))}
        windows, coded = [], []
        for name, rows in places.items():
            if len(rows) < task.length:
                raise ValueError(f"entity {name!r} has {len(rows)} rows; a window needs {task.length}")
            windows.append(fitted_context(values[rows][None], context))
            if codes is not None:
                coded.append(fitted_context(codes[rows][None], context))
        return list(places), np.concatenate(windows), np.concatenate(coded) if coded else None

    def _as_frame(self, prediction: Prediction, names: list[Any]) -> pd.DataFrame:

        task, values = self.model.task, prediction.values.astype(np.float64)
        labels = ANSWERS[task.kind].columns(task, quantile_column)
        return pd.DataFrame(values.reshape(len(values), -1), columns=labels, index=pd.Index(names, name="entity"))


def _texts(column: pd.Series, name: str) -> list[str | None]:
    """A column's categories as texts, None where missing.

    Raises:
        ValueError: numbers that have lost digits.
    """
    try:
        return texts_of(column)
    except ValueError as error:
        raise ValueError(f"column {name!r} of the frame: {error}") from None


def _numbers(column: pd.Series, name: str) -> Float32:
    """float32, [rows]: a column's numbers, NaN where it has none (None, NaN, NA); infinite beyond float32.

    Raises:
        ValueError: it holds something else; the message does not repeat the cell, which may be of a person.
    """
    try:
        numbers = column.where(column.notna(), np.nan).to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"column {name!r} of the frame holds {column.dtype} that is no number; expected numbers, empty where missing"
        ) from None
    with np.errstate(over="ignore"):
        return np.asarray(numbers, dtype=np.float32)


def fitted_context(windows: NDArray[Any], context: int) -> NDArray[Any]:
    """Windows of exactly `context` rows: the newest of longer ones, NaN (codes: 0) before shorter ones, as before an entity's first row."""
    rows = windows.shape[1]
    if rows >= context:
        return windows[:, rows - context :]
    absent = np.nan if windows.dtype.kind == "f" else 0
    missing = np.full((len(windows), context - rows, windows.shape[2]), absent, dtype=windows.dtype)
    return np.concatenate([missing, windows], axis=1)


def predict_windows(model: Model, windows: Float32, categories: Int64 | None = None) -> Prediction:
    """Predict ready-made raw windows, float32 [n, context, columns], and int64 [n, context, categories] where the task has some."""
    return model.predict(from_windows(windows, model.task.columns, model.task.length, model.task.outputs, categories))
