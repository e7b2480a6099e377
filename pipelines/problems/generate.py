"""Generate: scenarios, as sample paths of a price's returns over the next steps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.problems.answers import ordered_values
from finflow.pipelines.problems.base import Problem, Targets
from finflow.pipelines.problems.forecast import INCREMENT, Forecast, ForecastSettings
from finflow.pipelines.problems.path_scores import energy_parts, functional_scores, paths_of
from finflow.pipelines.problems.path_tests import discriminative_score, membership, train_on_synthetic
from finflow.pipelines.problems.plots import Plot, Read
from finflow.pipelines.problems.quantile_scores import identity, quantile_column
from finflow.pipelines.problems.scenario_checks import CHECKS, scenario_check
from finflow.pipelines.problems.stylised_facts import stylised_metrics
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts
from finflow.pipelines.statistics.risk.measures import CONFIDENCES, check_confidences
from finflow.pipelines.statistics.risk.stressed import stressed_risks

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Check
    from finflow.pipelines.settings.parts import Gate, Window

_NAT = np.datetime64("NaT", "ns")
_PERIODS = {"week": "datetime64[W]", "month": "datetime64[M]"}
SEED = 0
_READS: tuple[Read, ...] = ("rows", "samples", "name")
PATHS = Plot("paths", "drawn paths against what came", "finflow.pipelines.evaluation.plots.scenarios:plot_paths", reads=_READS)
FACTS = Plot("facts", "stylised facts", "finflow.pipelines.evaluation.plots.scenarios:plot_facts", reads=_READS)


class GenerateSettings(Settings):
    """Paths of the logarithm of `column` over the next `window.horizon` observations."""

    kind: Literal["generate"] = "generate"
    column: str = Field(default="close", description="the clean column of the price")
    paths: int = Field(default=400, ge=2, le=10_000, description="paths drawn a sample")
    every: Literal["day", "week", "month"] = Field(
        default="week", description="which samples are learnt from and judged: all, or the last of each week or month; any day is scored"
    )
    confidences: tuple[float, ...] = Field(default=CONFIDENCES, description="of value at risk and expected shortfall of the paths")
    stressed_share: float = Field(
        default=0.25, gt=0, le=1, description="the share of the paths, those of the highest volatility, that stressed risk is measured on"
    )

    @field_validator("confidences")
    @classmethod
    def _confidences(cls, confidences: tuple[float, ...]) -> tuple[float, ...]:
        return check_confidences(confidences)

    @model_validator(mode="after")
    def _enough(self) -> GenerateSettings:
        least = math.ceil(round(1.0 / (self.stressed_share * (1.0 - self.confidences[-1])), 9))
        if self.paths < least:
            raise ValueError(
                f"{self.paths} paths say nothing of the worst {100 * (1 - self.confidences[-1]):g} % of their stressed "
                f"{100 * self.stressed_share:g} %: set paths to {least} at least"
            )
        return self


class Generate(Problem):
    """Targets are those of `forecast` under `transform: log`: what came is one path. A model answers with many.

    Paths are scored by the distribution they give of a path's total return, realised volatility and deepest fall.
    """

    Settings = GenerateSettings
    says: ClassVar[str] = "paths"
    backtests: ClassVar[tuple[str, ...]] = CHECKS
    shown: ClassVar[tuple[str, ...]] = ("coverage_90",)

    def __init__(self, settings: Any, window: Window) -> None:
        super().__init__(settings, window)
        if window.horizon < 2:
            raise DefinitionError("problem: a path has two steps at least; set window.horizon to the number of its steps, not 1.")
        self._forecast = Forecast(ForecastSettings(column=settings.column), window)

    @property
    def plots(self) -> tuple[Plot, ...]:
        return PATHS, FACTS

    @property
    def required(self) -> tuple[str, ...]:
        return (self.settings.column,)

    def observe(self, clean: pd.DataFrame) -> pd.DataFrame:
        """`__increment`: the log return since the entity's previous observation; NaN at its first."""
        return self._forecast.observe(clean)[[INCREMENT]]

    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        """Cumulative log returns; with `every` only the last observation of a period has a label, the others are scored but not judged."""
        found = self._forecast.targets(clean, calendar)
        if self.settings.every == "day":
            return found
        last = _last_of_period(clean, _PERIODS[self.settings.every])
        return Targets(
            values=np.where(last[:, None], found.values, np.float32(np.nan)),
            label_start=np.where(last, found.label_start, _NAT),
            label_end=np.where(last, found.label_end, _NAT),
            target_time=found.target_time,
            origin=found.origin,
        )

    def task(self, columns: tuple[str, ...], features: tuple[str, ...]) -> Task:
        return Task(
            kind="paths",
            outputs=self.window.horizon,
            levels=(),
            classes=(),
            columns=columns,
            features=features,
            length=self.window.length,
            increment=INCREMENT,
            paths=self.settings.paths,
        )

    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        """`path_crps`, the mean of `crps_return`, `crps_volatility` and `crps_drawdown` (all of the size of a return over the whole path);
        and `energy`, the energy score of the path."""
        target = index.target.astype(np.float64)
        scores = functional_scores(prediction, target)
        apart, between = energy_parts(prediction, target)
        found = {f"crps_{name}": values for name, values in scores.items()}
        return {"path_crps": np.mean(list(scores.values()), axis=0), **found, "energy": apart - 0.5 * between}

    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Float64) -> list[MetricParts]:
        """Every loss; `diversity` (1 where paths lie as far from each other as from what came); stylised facts against held-out paths."""
        target, paths = index.target.astype(np.float64), paths_of(prediction)
        found = [MetricParts(name, (values,), identity, "lower") for name, values in self.losses(prediction, index).items()]
        apart, between = energy_parts(prediction, target)
        found += self.coverages(prediction, index)
        found.append(MetricParts("diversity", (between, apart), lambda drawn, came: drawn / came, "target", 1.0))
        found += stylised_metrics(paths, target, scale)
        found.append(discriminative_score(paths, index, scale, SEED))
        found.append(train_on_synthetic(paths, target, scale))
        return found

    def coverages(self, prediction: Prediction, index: SampleIndex) -> list[MetricParts]:
        """`coverage_90`: how often the total return lay within the central 90 % of the paths'."""
        last = paths_of(prediction)[:, :, -1].astype(np.float64)
        low, high = np.quantile(last, (0.05, 0.95), axis=1)
        inside = (low <= index.target[:, -1]) & (index.target[:, -1] <= high)
        return [MetricParts("coverage_90", (inside.astype(np.float64),), identity, "target", 0.9)]

    def memory(
        self, prediction: Prediction, index: SampleIndex, fold: NDArray[np.int64], train: Sequence[SampleIndex]
    ) -> list[MetricParts]:
        """`membership_auc`: whether the training part can be told from held-out paths by what was drawn."""
        return [membership(paths_of(prediction), index, fold, train, SEED)]

    def checks(self, prediction: Prediction, index: SampleIndex, gate: Gate, seed: int) -> tuple[Check, ...]:
        """Those that the gate names: see `scenario_check`."""
        return tuple(scenario_check(name, prediction, index) for name in gate.backtests)

    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        """The deviation of a step of each entity; an entity without training samples, or that never moved, has the panel's."""
        steps = np.diff(train.target.astype(np.float64), axis=1, prepend=0.0)
        known = train.labelled
        pooled = float(steps[known].std()) if known.any() else 1.0
        pooled = pooled if pooled > 0 else 1.0
        scales: defaultdict[int, float] = defaultdict(lambda: pooled)
        for entity in np.unique(train.entity[known]).tolist():
            own = float(steps[known & (train.entity == entity)].std())
            scales[entity] = own if own > 0 else pooled
        return scales

    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        """One row a sample and step: the column's value on each path (`path_001` ...), and the loss of a position held from the as-of until
        then: `var_99`, `es_99` over all paths, `stressed_var_99`, `stressed_es_99` over those of the highest volatility."""
        paths, settings = paths_of(prediction), self.settings
        count, drawn, outputs = paths.shape
        frame: dict[str, Any] = {
            "entity": pd.array(list(entities), dtype="str").take(np.repeat(index.entity, outputs)),
            "time": np.repeat(index.time.astype("datetime64[us]"), outputs),
            "target_time": index.target_time.astype("datetime64[us]").ravel(),
            "horizon": np.tile(np.arange(1, outputs + 1, dtype=np.int64), count),
        }
        for kind, risks in stressed_risks(paths, settings.confidences, settings.stressed_share).items():
            for confidence in settings.confidences:
                at_risk, shortfall = risks.at(confidence)
                frame[f"{kind}var_{quantile_column(confidence)[1:]}"] = at_risk
                frame[f"{kind}es_{quantile_column(confidence)[1:]}"] = shortfall
        with np.errstate(over="ignore"):
            levels = index.origin[:, None, None] * np.exp(paths.astype(np.float64))
        values = np.ascontiguousarray(levels.transpose(0, 2, 1)).reshape(count * outputs, drawn)
        return pd.concat([pd.DataFrame(frame, copy=False), pd.DataFrame(values, columns=path_columns(drawn))], axis=1)

    def answers(self, rows: pd.DataFrame, index: SampleIndex, entities: tuple[str, ...]) -> Prediction:
        """The paths again, from those of the column and the origin."""
        horizon, drawn = self.window.horizon, self.settings.paths
        steps = np.tile(np.arange(1, horizon + 1), len(index))
        samples = np.repeat(np.arange(len(index)), horizon)
        found = ordered_values(rows, index.take(samples), steps, entities, path_columns(drawn))
        with np.errstate(all="ignore"):
            change = np.log(found / np.repeat(index.origin, horizon)[:, None])
        return Prediction("paths", change.reshape(len(index), horizon, drawn).transpose(0, 2, 1).astype(np.float32))


def path_columns(paths: int) -> list[str]:
    """path_001, path_002 ..."""
    width = max(3, len(str(paths)))
    return [f"path_{number:0{width}d}" for number in range(1, paths + 1)]


def _last_of_period(clean: pd.DataFrame, unit: str) -> NDArray[np.bool_]:
    """bool, [rows]: the entity's next observation lies in a later week (from Monday on) or month; of its last one that is not known."""
    # numpy counts weeks from a Thursday, 1970-01-01: three days on, they begin on Mondays
    days = clean["time"].to_numpy().astype("datetime64[D]") + (np.timedelta64(3, "D") if unit.endswith("[W]") else np.timedelta64(0, "D"))
    period = days.astype(unit).astype(np.int64)
    entity = clean["entity"].to_numpy()
    last = np.zeros(len(clean), dtype=bool)
    last[:-1] = (period[1:] != period[:-1]) & (entity[1:] == entity[:-1])
    return last
