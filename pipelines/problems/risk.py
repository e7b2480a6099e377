"""Risk: what a position or a portfolio may lose tomorrow, as quantiles of the loss, value at risk and expected shortfall.

A loss is positive (see `finflow.pipelines.statistics.risk`): minus the plain return from close to close, a part of the position's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import DefinitionError, FinflowError
from finflow.pipelines.core.names import check_name
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.features.panel import first_rows
from finflow.pipelines.problems.answers import ordered_values
from finflow.pipelines.problems.base import Problem, Targets
from finflow.pipelines.problems.plots import COVERAGE, FORECASTS, Plot
from finflow.pipelines.problems.portfolio import portfolio_bars
from finflow.pipelines.problems.quantile_scores import crps, identity, interval_metrics, pinball, quantile_column, quantiles_of
from finflow.pipelines.problems.risk_checks import BACKTESTS, backtest
from finflow.pipelines.problems.upcoming import upcoming_times
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts
from finflow.pipelines.statistics.risk.measures import CONFIDENCES, Risks, check_confidences
from finflow.pipelines.statistics.risk.quantiles import SHAPE, risks_of_quantiles
from finflow.pipelines.statistics.risk.scoring import joint_score

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Check
    from finflow.pipelines.settings.parts import Gate, Window

INCREMENT = "__increment"
EXCEPTIONS = Plot("exceptions", "losses beyond the value at risk", "finflow.pipelines.evaluation.plots.risk:plot_exceptions")
_NAT = np.datetime64("NaT", "ns")


class RiskSettings(Settings):
    """The next session's loss of a portfolio, or without `weights` of a position in each entity by itself.

    Levels are those of the loss: 0.99 is a bad day, 0.01 a good one.
    """

    kind: Literal["risk"] = "risk"
    column: str = Field(default="close", description="the price; a portfolio needs `close`")
    weights: dict[str, float] | None = Field(
        default=None, description="entity -> part of the portfolio's value, negative for what was sold; what is missing to 1 is cash"
    )
    portfolio: str = Field(default="PORTFOLIO", description="the portfolio's name as an entity")
    levels: tuple[float, ...] = Field(
        default=(0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995),
        description="quantile levels of the loss, ascending, 0.5 and every confidence among them",
    )
    confidences: tuple[float, ...] = Field(default=CONFIDENCES, description="of value at risk and expected shortfall")
    tail_shape: float = Field(
        default=SHAPE, ge=0, lt=1, description="of the generalised Pareto tail assumed beyond the highest level; 0 is exponential"
    )

    @field_validator("weights")
    @classmethod
    def _weights(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        if weights is not None and not any(weights.values()):
            raise ValueError("weights need an entity with a part other than 0")
        return weights

    @model_validator(mode="after")
    def _consistent(self) -> RiskSettings:
        levels = self.levels
        if list(levels) != sorted(set(levels)) or not levels or levels[0] <= 0 or levels[-1] >= 1 or 0.5 not in levels:
            raise ValueError(f"levels {list(levels)} must lie between 0 and 1, ascend, and have 0.5 among them")
        absent = [one for one in check_confidences(self.confidences) if one not in levels]
        if absent:
            raise ValueError(f"confidences {absent} must be among the levels {list(levels)}")
        try:
            check_name(self.portfolio, "portfolio")
        except FinflowError as error:
            raise ValueError(str(error)) from None
        if self.weights is not None and self.column != "close":
            raise ValueError(f"a portfolio is made of closes: leave out column {self.column!r}")
        return self


class Risk(Problem):
    """One session ahead: losses over several overlap, and no backtest here would stand."""

    Settings = RiskSettings
    says: ClassVar[str] = "spread"
    backtests: ClassVar[tuple[str, ...]] = BACKTESTS
    shown: ClassVar[tuple[str, ...]] = ("crps", "coverage_90", "pinball_97_5", "exceptions_97_5", "exceptions_99")

    def __init__(self, settings: Any, window: Window) -> None:
        super().__init__(settings, window)
        if window.horizon != 1:
            raise DefinitionError(f"problem: risk is about the next session; set window.horizon to 1, not {window.horizon}.")

    @property
    def plots(self) -> tuple[Plot, ...]:
        return FORECASTS, COVERAGE, EXCEPTIONS

    @property
    def required(self) -> tuple[str, ...]:
        return (self.settings.column,)

    def behind(self, entity: str) -> tuple[str, ...]:
        """Of a portfolio its members: other weights show the same days."""
        return (entity,) if self.settings.weights is None else tuple(self.settings.weights)

    def arrange(self, clean: pd.DataFrame) -> pd.DataFrame:
        """With weights: one entity, the portfolio (see `portfolio_bars`)."""
        settings = self.settings
        return clean if settings.weights is None else portfolio_bars(clean, settings.weights, settings.portfolio)

    def observe(self, clean: pd.DataFrame) -> pd.DataFrame:
        """`__increment`: the session's own loss; NaN at an entity's first row, and where a price is not positive."""
        loss = np.full(len(clean), np.nan)
        loss[1:] = self._losses(clean)
        loss[first_rows(clean)[:-1]] = np.nan
        return pd.DataFrame({INCREMENT: loss}, index=clean.index)

    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        """The loss from this row's close to the next; `origin` is the price."""
        loss = np.full(len(clean), np.nan)
        loss[:-1] = self._losses(clean)
        loss[first_rows(clean)[1:] - 1] = np.nan
        with np.errstate(over="ignore"):
            values = loss[:, None].astype(np.float32)
        target_time = upcoming_times(clean, 1, calendar)
        span = np.where(np.isfinite(values[:, 0]), target_time[:, 0], _NAT)
        origin = clean[self.settings.column].to_numpy(dtype=np.float64)
        return Targets(values=values, label_start=span, label_end=span, target_time=target_time, origin=origin)

    def task(self, columns: tuple[str, ...], features: tuple[str, ...]) -> Task:
        return Task(
            kind="quantiles",
            outputs=1,
            levels=self.settings.levels,
            classes=(),
            columns=columns,
            features=features,
            length=self.window.length,
            increment=INCREMENT,
        )

    def risks(self, prediction: Prediction) -> Risks:
        """Value at risk and expected shortfall at the definition's confidences."""
        settings = self.settings
        return risks_of_quantiles(quantiles_of(prediction)[:, 0, :], prediction.levels, settings.confidences, shape=settings.tail_shape)

    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        """`fz0_97_5` (the joint score of value at risk and expected shortfall) and `pinball_97_5` at each confidence, and `crps`."""
        target = index.target.astype(np.float64)
        quantiles, levels, risks = quantiles_of(prediction), prediction.levels, self.risks(prediction)
        missed = pinball(quantiles, target, levels)[:, 0, :]
        found = {}
        for confidence in risks.confidences:
            found[f"fz0_{_short(confidence)}"] = joint_score(target[:, 0], *risks.at(confidence), confidence)
        for confidence in risks.confidences:
            found[f"pinball_{_short(confidence)}"] = missed[:, levels.index(confidence)]
        return {**found, "crps": crps(quantiles, target, levels)}

    def logarithmic(self, loss: str) -> bool:
        """The joint score is: a difference of 0.01 is one hundredth in scale, and its level means nothing."""
        return loss.startswith("fz0_")

    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Float64) -> list[MetricParts]:
        """Every loss; how often the value at risk was exceeded (`exceptions_99` aims at 0.01); coverage of the central intervals."""
        target, risks = index.target.astype(np.float64), self.risks(prediction)
        found = [MetricParts(name, (values,), identity, "lower") for name, values in self.losses(prediction, index).items()]
        for confidence in risks.confidences:
            hit = (target[:, 0] > risks.at(confidence)[0]).astype(np.float64)
            found.append(MetricParts(f"exceptions_{_short(confidence)}", (hit,), identity, "target", round(1.0 - confidence, 9)))
        return found + interval_metrics(quantiles_of(prediction), target, prediction.levels)

    def checks(self, prediction: Prediction, index: SampleIndex, gate: Gate, seed: int) -> tuple[Check, ...]:
        """The backtests that the gate names, an entity at a time: the worst of them counts."""
        return tuple(
            backtest(name, prediction, index, self.risks(prediction), self.settings.tail_shape, gate, seed) for name in gate.backtests
        )

    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        return dict.fromkeys(np.unique(train.entity).tolist(), 1.0)

    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        """One row a sample: quantiles of the loss, `var_99` and `es_99` at each confidence; all of them parts of the position's value."""
        quantiles, risks = quantiles_of(prediction)[:, 0, :], self.risks(prediction)
        frame: dict[str, Any] = {
            "entity": pd.array(list(entities), dtype="str").take(index.entity),
            "time": index.time.astype("datetime64[us]"),
            "target_time": index.target_time[:, 0].astype("datetime64[us]"),
            "horizon": np.ones(len(index), dtype=np.int64),
        }
        frame |= {quantile_column(level): quantiles[:, place] for place, level in enumerate(prediction.levels)}
        for confidence in risks.confidences:
            frame[f"var_{_short(confidence)}"], frame[f"es_{_short(confidence)}"] = risks.at(confidence)
        return pd.DataFrame(frame, copy=False)

    def answers(self, rows: pd.DataFrame, index: SampleIndex, entities: tuple[str, ...]) -> Prediction:
        """The quantiles again; the rest follows from them."""
        levels = self.settings.levels
        found = ordered_values(rows, index, np.ones(len(index), dtype=np.int64), entities, [quantile_column(level) for level in levels])
        return Prediction("quantiles", found[:, None, :].astype(np.float32), levels)

    def _losses(self, clean: pd.DataFrame) -> Float64:
        """float64, [rows - 1]: the loss from each row to the next, whatever entity they are of."""
        price = clean[self.settings.column].to_numpy(dtype=np.float64)
        price = np.where(price > 0, price, np.nan)
        with np.errstate(all="ignore"):
            return 1.0 - price[1:] / price[:-1]


def _short(confidence: float) -> str:
    """As in quantile columns: 99, 97_5."""
    return quantile_column(confidence)[1:]
