"""Classify: the class of what a price does over the next days, as probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from finflow.models.base import Prediction
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.features.panel import Panel
from finflow.pipelines.problems.base import Targets
from finflow.pipelines.problems.class_scores import brier, class_metrics, log_loss, probabilities_of
from finflow.pipelines.problems.of_classes import OfClasses, codes_of
from finflow.pipelines.problems.plots import Plot
from finflow.pipelines.problems.upcoming import upcoming_times
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

SIGN = ("down", "up")
BARRIER = ("down", "flat", "up")
CALIBRATION = Plot("calibration", "calibration", "finflow.pipelines.evaluation.plots.classes:plot_calibration")
CONFUSION = Plot("confusion", "confusion matrix", "finflow.pipelines.evaluation.plots.classes:plot_confusion")
_NAT = np.datetime64("NaT", "ns")


class ClassifySettings(Settings):
    """Which class the next `window.horizon` observations of a price belong to.

    `sign`: `up` where the last of them is above today's, else `down`. `triple_barrier`: which of two barriers the price touches first, or
    `flat` where it touches none by the last of them.
    """

    kind: Literal["classify"] = "classify"
    column: str = Field(default="close", description="the clean column of the price")
    label: Literal["sign", "triple_barrier"] = Field(
        default="sign", description="sign: down or up; triple_barrier: down, flat or up, by the barrier that is touched first"
    )
    upper: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="triple_barrier: distance of the upper barrier, in standard deviations over the whole horizon",
    )
    lower: float = Field(default=1.0, gt=0, le=100, description="triple_barrier: distance of the lower barrier")
    volatility_window: int = Field(
        default=20,
        ge=2,
        le=10_000,
        description="triple_barrier: past returns whose standard deviation, times the root of the horizon, is one",
    )


class Classify(OfClasses):
    """The target is the position of the class among `classes`.

    Barriers are in logarithms around today's price, and as far away as the volatility that is known today says (Lopez de Prado, 2018). Only
    closes (or whatever `column` holds) touch them. The label's span ends when a barrier is touched: purging by spans therefore keeps a
    label that was decided early where it drops one that was not, in the last `window.horizon` dates of a training part.
    """

    Settings = ClassifySettings
    shown: ClassVar[tuple[str, ...]] = ("brier", "accuracy", "auc", "calibration_error")

    @property
    def plots(self) -> tuple[Plot, ...]:
        return CALIBRATION, CONFUSION

    @property
    def classes(self) -> tuple[str, ...]:
        return SIGN if self.settings.label == "sign" else BARRIER

    @property
    def required(self) -> tuple[str, ...]:
        return (self.settings.column,)

    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        """Class positions; `origin` is the price, and `target_time` the last date that the label may rest on, touched barrier or not.

        A label is not known where a price that it rests on is missing or not positive, or where there is no volatility yet.
        """
        panel, horizon = Panel(clean), self.window.horizon
        price = panel[self.settings.column]
        with np.errstate(all="ignore"):
            level = np.log(np.where((price > 0) & np.isfinite(price), price, np.nan))
        moves = np.column_stack([panel.previous(level, -step) - level for step in range(1, horizon + 1)])
        times = upcoming_times(clean, horizon, calendar)
        if self.settings.label == "sign":
            code, step = np.where(moves[:, -1] > 0, 1.0, 0.0), np.full(len(clean), horizon - 1)
            code[np.isnan(moves[:, -1])] = np.nan
        else:
            code, step = self._barriers(panel, level, moves)
        finite = np.isfinite(code)
        return Targets(
            values=code[:, None].astype(np.float32),
            label_start=np.where(finite, times[:, 0], _NAT),
            label_end=np.where(finite, times[np.arange(len(clean)), step], _NAT),
            target_time=times[:, -1:],
            origin=price,
        )

    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        """`log_loss` and `brier` (summed over the classes)."""
        probabilities, codes = probabilities_of(prediction), codes_of(index)
        return {"log_loss": log_loss(probabilities, codes), "brier": brier(probabilities, codes)}

    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Float64) -> list[MetricParts]:
        """The losses, accuracy, AUC, calibration error, and by how much the classes were expected too often."""
        return class_metrics(probabilities_of(prediction), codes_of(index), self.classes)

    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        """One: probabilities have no unit."""
        return dict.fromkeys(np.unique(train.entity).tolist(), 1.0)

    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        """One row a sample, `window.horizon` ahead: a probability a class, `p_down` and `p_up` say."""
        probabilities = probabilities_of(prediction)
        frame: dict[str, Any] = {
            "entity": pd.array(list(entities), dtype="str").take(index.entity),
            "time": index.time.astype("datetime64[us]"),
            "target_time": index.target_time[:, 0].astype("datetime64[us]"),
            "horizon": np.full(len(index), self.window.horizon, dtype=np.int64),
        }
        frame |= {f"p_{name}": probabilities[:, place] for place, name in enumerate(self.classes)}
        return pd.DataFrame(frame, copy=False)

    def _barriers(self, panel: Panel, level: Float64, moves: Float64) -> tuple[Float64, NDArray[np.int64]]:
        """The class of each row (NaN: not known), and the step, from 0, at which it was decided."""
        settings, horizon = self.settings, self.window.horizon
        daily = panel.rolling_deviation(level - panel.previous(level), settings.volatility_window)
        width = (daily * np.sqrt(horizon))[:, None]
        with np.errstate(invalid="ignore"):
            above, below = moves >= settings.upper * width, moves <= -settings.lower * width
        touched = above | below
        blind = np.isnan(moves) | ~(width > 0)
        decided = touched | blind
        step = np.where(decided.any(axis=1), decided.argmax(axis=1), horizon - 1)
        rows = np.arange(len(moves))
        code = np.where(above[rows, step], 2.0, np.where(below[rows, step], 0.0, 1.0))
        return np.where(blind[rows, step], np.nan, code), step
