"""Forecast: the path of a price over the next steps, as quantiles of its change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.features.panel import first_rows
from finflow.pipelines.problems.answers import ordered_values
from finflow.pipelines.problems.base import Problem, Targets
from finflow.pipelines.problems.plots import COVERAGE, FORECASTS, Plot
from finflow.pipelines.problems.quantile_scores import (
    check_levels,
    crps,
    directional_accuracy,
    error_metrics,
    identity,
    information_coefficients,
    interval_metrics,
    quantile_column,
    quantiles_of,
)
from finflow.pipelines.problems.upcoming import upcoming_times
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

INCREMENT = "__increment"
LEVEL = "__level"
_NAT = np.datetime64("NaT", "ns")


class ForecastSettings(Settings):
    """The column whose path over the next `window.horizon` observations is forecast.

    With `transform: log` a target is the change of the logarithm (a log return over h steps), with `none` the plain change.
    """

    kind: Literal["forecast"] = "forecast"
    column: str = Field(default="close", description="the clean column whose path is forecast")
    transform: Literal["log", "none"] = Field(
        default="log", description="log: a target is the change of the logarithm (a log return over h steps); none: the plain change"
    )
    levels: tuple[float, ...] = Field(
        default=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95), description="quantile levels, ascending, 0.5 among them"
    )

    @field_validator("levels")
    @classmethod
    def _levels(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        return check_levels(levels)


class Forecast(Problem):
    """Targets: change from the last observation to the h-th after it, h = 1 ... horizon, in steps of the entity's own observations.

    No change is taken across a gap that the definition forbids (`__segment`).
    """

    Settings = ForecastSettings
    shown: ClassVar[tuple[str, ...]] = ("price_mae", "crps", "mase", "directional_accuracy", "coverage_90", "rank_ic")

    @property
    def plots(self) -> tuple[Plot, ...]:
        return FORECASTS, COVERAGE

    @property
    def required(self) -> tuple[str, ...]:
        return (self.settings.column,)

    def observe(self, clean: pd.DataFrame) -> pd.DataFrame:
        """`__increment` (change since the entity's previous observation; NaN at its first) and `__level` (the transformed column).

        A level that the transform cannot take (a price of zero or less under `log`) is NaN: no window holds it.
        """
        level = self._level(clean)
        increment = np.full(len(clean), np.nan)
        increment[1:] = level[1:] - level[:-1]
        increment[first_rows(clean)[:-1]] = np.nan
        return pd.DataFrame({INCREMENT: increment, LEVEL: level}, index=clean.index)

    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        """Cumulative changes; `origin` is the untransformed last value, and dates not observed yet are the calendar's next sessions."""
        level, horizon, rows = self._level(clean), self.window.horizon, len(clean)
        first = first_rows(clean)
        last = np.repeat(first[1:] - 1, np.diff(first))
        values = np.full((rows, horizon), np.nan, dtype=np.float32)
        for step in range(1, horizon + 1):
            reached = np.flatnonzero(np.arange(rows) + step <= last)
            with np.errstate(over="ignore", invalid="ignore"):  # beyond float32: infinite, and no label
                values[reached, step - 1] = level[reached + step] - level[reached]
        target_time = upcoming_times(clean, horizon, calendar)
        known_all = np.isfinite(values).all(axis=1)
        return Targets(
            values=values,
            label_start=np.where(known_all, target_time[:, 0], _NAT),
            label_end=np.where(known_all, target_time[:, -1], _NAT),
            target_time=target_time,
            origin=clean[self.settings.column].to_numpy(dtype=np.float64),
        )

    def task(self, columns: tuple[str, ...], features: tuple[str, ...]) -> Task:
        return Task(
            kind="quantiles",
            outputs=self.window.horizon,
            levels=self.settings.levels,
            classes=(),
            columns=columns,
            features=features,
            length=self.window.length,
            increment=INCREMENT,
            level=LEVEL,
        )

    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        """`mae` and `mse` of the median change, `crps`; each the mean over horizons."""
        quantiles, target = quantiles_of(prediction), index.target.astype(np.float64)
        median = quantiles[:, :, prediction.levels.index(0.5)]
        return {
            "crps": crps(quantiles, target, prediction.levels),
            "mae": np.abs(median - target).mean(axis=1),
            "mse": ((median - target) ** 2).mean(axis=1),
        }

    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Float64) -> list[MetricParts]:
        """Errors of the change; under `log` also of the price (`price_...`), which the change and the last price give.

        MASE divides the absolute error by the training part's mean absolute one-step change (Hyndman and Koehler, 2006). IC and RankIC, of
        the change over the whole horizon, are there where the panel has more than two entities.
        """
        quantiles, target = quantiles_of(prediction), index.target.astype(np.float64)
        levels = prediction.levels
        median = quantiles[:, :, levels.index(0.5)]
        mase = np.abs(median - target).mean(axis=1) / scale
        metrics = error_metrics("", quantiles, target, levels)
        metrics.append(MetricParts("mase", (mase,), identity, "lower"))
        if self.settings.transform == "log":
            metrics += error_metrics("price_", self._price(quantiles, index), self._price(target[:, :, None], index)[:, :, 0], levels)
        metrics += interval_metrics(quantiles, target, levels)
        metrics.append(MetricParts("directional_accuracy", (directional_accuracy(median, target),), identity, "higher"))
        if len(np.unique(index.entity)) > 2:
            coefficient, rank_coefficient = information_coefficients(median[:, -1], target[:, -1], index.time)
            metrics.append(MetricParts("ic", (coefficient,), identity, "higher"))
            metrics.append(MetricParts("rank_ic", (rank_coefficient,), identity, "higher"))
        return metrics

    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        """The mean absolute one-step change of each entity. An entity without training samples, or that never moved, has the panel's."""
        change = np.abs(train.target[:, 0].astype(np.float64))
        finite = np.isfinite(change)
        pooled = float(change[finite].mean()) if finite.any() and change[finite].any() else 1.0
        totals = np.bincount(train.entity[finite], change[finite])
        counts = np.bincount(train.entity[finite])
        scales: defaultdict[int, float] = defaultdict(lambda: pooled)
        scales.update({int(code): float(totals[code] / counts[code]) for code in np.flatnonzero(totals > 0)})
        return scales

    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        """One row a sample and horizon; the quantiles are of the column itself (a price), not of its change."""
        quantiles = self._price(quantiles_of(prediction), index)
        count, outputs, _ = quantiles.shape
        columns = np.ascontiguousarray(quantiles.reshape(count * outputs, -1).T)
        frame: dict[str, Any] = {
            "entity": pd.array(list(entities), dtype="str").take(np.repeat(index.entity, outputs)),
            "time": np.repeat(index.time.astype("datetime64[us]"), outputs),
            "target_time": index.target_time.astype("datetime64[us]").ravel(),
            "horizon": np.tile(np.arange(1, outputs + 1, dtype=np.int64), count),
        }
        for number, level in enumerate(prediction.levels):
            frame[quantile_column(level)] = columns[number]
        return pd.DataFrame(frame, copy=False)

    def answers(self, rows: pd.DataFrame, index: SampleIndex, entities: tuple[str, ...]) -> Prediction:
        """Quantiles of the change again, from those of the column and the origin."""
        horizon, levels = self.window.horizon, self.settings.levels
        steps = np.tile(np.arange(1, horizon + 1), len(index))
        samples = np.repeat(np.arange(len(index)), horizon)
        levels_of_rows = ordered_values(rows, index.take(samples), steps, entities, [quantile_column(level) for level in levels])
        origin = np.repeat(index.origin, horizon)[:, None]
        with np.errstate(all="ignore"):
            change = levels_of_rows - origin if self.settings.transform == "none" else np.log(levels_of_rows / origin)
        return Prediction("quantiles", change.reshape(len(index), horizon, len(levels)).astype(np.float32), levels)

    def _level(self, clean: pd.DataFrame) -> Float64:
        values = clean[self.settings.column].to_numpy(dtype=np.float64)
        if self.settings.transform == "none":
            return values
        return np.log(np.where(values > 0, values, np.nan))

    def _price(self, change: Float64, index: SampleIndex) -> Float64:
        """The column's own value after a change: [n, outputs, any]."""
        origin = index.origin[:, None, None]
        if self.settings.transform == "none":
            return origin + change
        with np.errstate(over="ignore"):  # a forecast beyond all measure becomes infinite, and is refused as such
            price: Float64 = np.exp(change)
            price *= origin
        return price
