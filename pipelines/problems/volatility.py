"""Volatility: the variance of the next day, and the mean daily variance of the next `window.horizon` days, expected or as quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.features.panel import Panel
from finflow.pipelines.features.variance_estimators import ESTIMATORS, daily_variance, floored
from finflow.pipelines.problems.answers import ordered_values
from finflow.pipelines.problems.base import Problem, Targets
from finflow.pipelines.problems.plots import COVERAGE, FORECASTS, Plot
from finflow.pipelines.problems.quantile_scores import check_levels, crps, identity, interval_metrics, quantile_column, quantiles_of
from finflow.pipelines.problems.upcoming import upcoming_times
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

LOG_VARIANCE = "__log_variance"
MOVE = "__return"
#: trading days a year, for volatilities that people read
YEAR = 252
#: variances are in squared returns; squared errors are told in squared percent, or they would all be 0.0000000
PERCENT = 1e4
_NAT = np.datetime64("NaT", "ns")


class VolatilitySettings(Settings):
    """How a day's variance is measured.

    `garman_klass` and `parkinson` read the day's range, and with `overnight` the squared return from the last close to the open beside it;
    `squared_return` is from close to close; `column` takes a daily variance that the data bring (a realised measure).
    """

    kind: Literal["volatility"] = "volatility"
    estimator: Literal["garman_klass", "parkinson", "squared_return", "column"] = Field(
        default="garman_klass", description="how a day's variance is measured, or `column`: the data bring it"
    )
    overnight: bool = Field(default=True, description="garman_klass and parkinson: add the squared return from the last close to the open")
    column: str | None = Field(default=None, description="estimator column: the clean column of daily variances (squared log returns)")
    price: str = Field(default="close", description="the column whose log returns leverage terms and GARCH read")
    floor: float = Field(
        default=1e-8, gt=0, description="a day's variance below this counts as this; the default is a volatility of one basis point a day"
    )
    levels: tuple[float, ...] = Field(
        default=(), description="quantile levels of the variance, ascending, 0.5 among them; none: the expected variance is asked for"
    )

    @field_validator("levels")
    @classmethod
    def _levels(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        return check_levels(levels) if levels else levels

    @model_validator(mode="after")
    def _column(self) -> VolatilitySettings:
        if (self.column is None) == (self.estimator == "column"):
            raise ValueError("`column` names the daily variances for `estimator: column`, and for that alone")
        return self


class Volatility(Problem):
    """Targets: the variance of the next day and, where `window.horizon` is more than 1, the mean daily variance of that many next days.

    They are measured as `settings.estimator` says. A day whose high is its low, with no overnight move, measures a variance of nought: it
    counts as `floor`, because QLIKE is infinite there. A day that cannot be measured (a price missing or not positive, a close outside the
    range, a negative realised measure, the first day after a forbidden gap) has no variance: no window holds it, no label rests on it.

    With `levels` the targets are the logarithms of these, models answer with quantiles of them, and errors are factors: a CRPS of 0.3 is
    what a certain forecast that is out by a factor of 1.35 has. Prediction rows hold quantiles of the variance itself.
    """

    Settings = VolatilitySettings
    says: ClassVar[str] = "spread"
    shown: ClassVar[tuple[str, ...]] = ("crps", "coverage_90")

    @property
    def plots(self) -> tuple[Plot, ...]:
        return (FORECASTS, COVERAGE) if self.settings.levels else (FORECASTS,)

    @property
    def steps(self) -> tuple[int, ...]:
        """The days over which each output is a mean."""
        return (1,) if self.window.horizon == 1 else (1, self.window.horizon)

    @property
    def required(self) -> tuple[str, ...]:
        measured = (self.settings.column,) if self.settings.column else ESTIMATORS[self.settings.estimator].columns
        return tuple(dict.fromkeys((*measured, self.settings.price)))

    @property
    def watched(self) -> str:
        """The price: a day's variance can be measured in several ways, and all of them show how far the same price moved."""
        return str(self.settings.price)

    def observe(self, clean: pd.DataFrame) -> pd.DataFrame:
        """`__log_variance` (of the day) and `__return` (log return of the price since the entity's last observation)."""
        panel = Panel(clean)
        with np.errstate(all="ignore"):
            price = panel[self.settings.price]
            level = np.log(np.where(price > 0, price, np.nan))
            return pd.DataFrame({LOG_VARIANCE: np.log(self._variance(clean)), MOVE: level - panel.previous(level)}, index=clean.index)

    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        """Mean daily variances; `origin` is the day's own variance, and dates not observed yet are the calendar's next sessions."""
        panel, variance = Panel(clean), self._variance(clean)
        horizon = self.window.horizon
        ahead = np.column_stack([panel.previous(variance, -step) for step in range(1, horizon + 1)])
        times = upcoming_times(clean, horizon, calendar)
        values = np.column_stack([ahead[:, :steps].mean(axis=1) for steps in self.steps])
        if self.settings.levels:
            values = np.log(values)
        values = values.astype(np.float32)
        known = np.isfinite(values).all(axis=1)
        return Targets(
            values=values,
            label_start=np.where(known, times[:, 0], _NAT),
            label_end=np.where(known, times[:, -1], _NAT),
            target_time=times[:, [steps - 1 for steps in self.steps]],
            origin=variance,
        )

    def task(self, columns: tuple[str, ...], features: tuple[str, ...]) -> Task:
        return Task(
            kind="quantiles" if self.settings.levels else "variances",
            outputs=len(self.steps),
            levels=self.settings.levels,
            classes=(),
            columns=columns,
            features=features,
            length=self.window.length,
            steps=self.steps,
            log_variance=LOG_VARIANCE,
            move=MOVE,
        )

    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        """`qlike` and `mse` of the next day's variance; with a longer horizon also `qlike_h5`, `mse_h5` of the mean over its days.

        Of quantiles `crps` and `mae` (of the median), both of the logarithm, in the same way.
        """
        if self.settings.levels:
            return self._quantile_losses(prediction, index)
        forecast, target = variances_of(prediction), index.target.astype(np.float64)
        found: dict[str, Float64] = {}
        for number, steps in enumerate(self.steps):
            found[_named("qlike", steps)] = qlike(forecast[:, number], target[:, number])
            found[_named("mse", steps)] = (PERCENT * (forecast[:, number] - target[:, number])) ** 2
        return found

    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Float64) -> list[MetricParts]:
        """The losses; `log_rmse`, the root mean squared error of the logarithm; `level`, the mean of target over forecast (1).

        Of quantiles the losses, and the coverage of every central interval over both horizons.
        """
        if self.settings.levels:
            found = [MetricParts(name, (values,), identity, "lower") for name, values in self.losses(prediction, index).items()]
            return found + interval_metrics(quantiles_of(prediction), index.target.astype(np.float64), prediction.levels)
        forecast, target = variances_of(prediction), index.target.astype(np.float64)
        found = [MetricParts(name, (values,), identity, "lower") for name, values in self.losses(prediction, index).items()]
        for number, steps in enumerate(self.steps):
            ratio = target[:, number] / forecast[:, number]
            found.append(MetricParts(_named("log_rmse", steps), (np.log(ratio) ** 2,), np.sqrt, "lower"))
            found.append(MetricParts(_named("level", steps), (ratio,), identity, "target", 1.0))
        return found

    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        """One: QLIKE has no unit."""
        return dict.fromkeys(np.unique(train.entity).tolist(), 1.0)

    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        """One row a sample and horizon (1, and `window.horizon`): `variance`, the expected mean daily variance over so many days, and
        `volatility`, its root annualised by 252 days. Of quantiles: those of the variance, `q05`, `q50` ..."""
        count, outputs = prediction.values.shape[:2]
        values: dict[str, Float64] = {}
        if self.settings.levels:
            with np.errstate(over="ignore"):  # a forecast beyond all measure becomes infinite, and is refused as such
                columns = np.exp(quantiles_of(prediction).reshape(count * outputs, -1)).T
            values = dict(zip(map(quantile_column, prediction.levels), columns, strict=True))
        else:
            values["variance"] = variances_of(prediction).ravel()
            with np.errstate(invalid="ignore"):
                values["volatility"] = np.sqrt(YEAR * values["variance"])
        return pd.DataFrame(
            {
                "entity": pd.array(list(entities), dtype="str").take(np.repeat(index.entity, outputs)),
                "time": np.repeat(index.time.astype("datetime64[us]"), outputs),
                "target_time": index.target_time.astype("datetime64[us]").ravel(),
                "horizon": np.tile(np.array(self.steps, dtype=np.int64), count),
                **values,
            },
            copy=False,
        )

    def answers(self, rows: pd.DataFrame, index: SampleIndex, entities: tuple[str, ...]) -> Prediction:
        samples = np.repeat(np.arange(len(index)), len(self.steps))
        levels = self.settings.levels
        columns = [quantile_column(level) for level in levels] or ["variance"]
        found = ordered_values(rows, index.take(samples), np.tile(self.steps, len(index)), entities, columns)
        if not levels:
            return Prediction("variances", found.reshape(len(index), -1).astype(np.float32))
        with np.errstate(all="ignore"):
            logarithms = np.log(found).astype(np.float32)
        return Prediction("quantiles", logarithms.reshape(len(index), len(self.steps), len(levels)), levels)

    def _quantile_losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        quantiles, target = quantiles_of(prediction), index.target.astype(np.float64)
        middle = prediction.levels.index(0.5)
        found: dict[str, Float64] = {}
        for number, steps in enumerate(self.steps):
            own = slice(number, number + 1)
            found[_named("crps", steps)] = crps(quantiles[:, own], target[:, own], prediction.levels)
            found[_named("mae", steps)] = np.abs(quantiles[:, number, middle] - target[:, number])
        return found

    def _variance(self, clean: pd.DataFrame) -> Float64:
        settings: Any = self.settings
        if settings.column:
            return floored(Panel(clean)[settings.column], settings.floor)
        return daily_variance(settings.estimator, Panel(clean), overnight=settings.overnight, floor=settings.floor)


def qlike(forecast: Float64, target: Float64) -> Float64:
    """y / f - log(y / f) - 1, of that shape: 0 where the forecast is what came, and positive elsewhere (Patton, 2011).

    It differs from y / f + log f, which trains the networks, by what no forecast changes, so differences between forecasts are the same;
    this form is never negative, so that a relative effect has a meaning. Its mean is least for the mean of a noisy unbiased target.
    """
    ratio = target / forecast
    return np.asarray(ratio - np.log(ratio) - 1.0)


def variances_of(prediction: Prediction) -> Float64:
    """float64, [n, outputs].

    Raises:
        ValueError: the prediction holds something else.
    """
    if prediction.kind != "variances":
        raise ValueError(f"expected variances, got {prediction.kind}: the model answers another question")
    return prediction.values.astype(np.float64)


def _named(name: str, steps: int) -> str:
    return name if steps == 1 else f"{name}_h{steps}"
