"""A third kind of problem: what a loan will lose, known so many days after it was granted. A window is one row, an entity one loan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd

from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.markdown import number, table_lines
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.core.svg import BLUE, GREY, svg_figure
from finflow.pipelines.problems.base import Problem, Targets, Tested
from finflow.pipelines.problems.plots import COVERAGE, Plot
from finflow.pipelines.problems.quantile_scores import crps, error_metrics, identity, interval_metrics, quantile_column, quantiles_of
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Evaluation


class PlainRowsSettings(Settings):
    kind: Literal["plain-rows"] = "plain-rows"
    column: str
    known_after_days: int
    levels: tuple[float, ...] = (0.1, 0.5, 0.9)


class PlainRows(Problem):
    Settings = PlainRowsSettings
    shown: ClassVar[tuple[str, ...]] = ("crps", "above_median")

    @property
    def plots(self) -> tuple[Plot, ...]:
        return COVERAGE, Plot("said", "losses against what was said of them", f"{__name__}:plot_said")

    @property
    def required(self) -> tuple[str, ...]:
        return (self.settings.column,)

    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        start = clean["time"].to_numpy().astype("datetime64[ns]")
        end = start + np.timedelta64(self.settings.known_after_days, "D")
        values = clean[self.settings.column].to_numpy(dtype=np.float32)[:, None]
        return Targets(values=values, label_start=start, label_end=end, target_time=end[:, None], origin=np.full(len(clean), np.nan))

    def task(self, columns: tuple[str, ...], features: tuple[str, ...]) -> Task:
        return Task("quantiles", outputs=1, levels=self.settings.levels, classes=(), columns=columns, features=features, length=1)

    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        target = index.target.astype(np.float64)
        error = np.abs(self._median(prediction) - target[:, 0])
        return {"crps": crps(quantiles_of(prediction), target, prediction.levels), "mae": error}

    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Float64) -> list[MetricParts]:
        answer = (quantiles_of(prediction), index.target.astype(np.float64), prediction.levels)
        above = (answer[1][:, 0] > self._median(prediction)).astype(np.float64)
        shares = [MetricParts("above_median", (above,), identity, "target", 0.5), *interval_metrics(*answer)]
        return [*error_metrics("", *answer), *shares]

    def tables(self, tested: Tested) -> Mapping[str, pd.DataFrame]:
        came = float(tested.index.target.astype(np.float64).sum())
        said = {name: float(self._median(prediction).sum()) for name, prediction in tested.forecasts.items()}
        return {"reserves": pd.DataFrame({"candidate": list(said), "said": list(said.values()), "came": came})}

    def sections(self, tables: Mapping[str, pd.DataFrame], evaluation: Evaluation) -> list[str]:
        rows = [[str(name), number(said), number(came)] for name, said, came in tables["reserves"].to_numpy()]
        return ["## Reserves", "", *table_lines([["candidate", "medians, added up", "losses, added up"], *rows]), ""]

    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        return dict.fromkeys(np.unique(train.entity).tolist(), 1.0)

    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        names = [entities[code] for code in index.entity]
        frame = pd.DataFrame({"entity": names, "time": index.time, "target_time": index.target_time[:, 0], "horizon": 1})
        return frame.assign(**{quantile_column(q): quantiles_of(prediction)[:, 0, n] for n, q in enumerate(prediction.levels)})

    def _median(self, prediction: Prediction) -> Float64:
        return quantiles_of(prediction)[:, 0, prediction.levels.index(0.5)]


def plot_said(rows: pd.DataFrame, name: str, path: Path) -> None:
    """Every loan's loss over its median, a point a loan: on the line is right."""
    said, came = rows["q50"].to_numpy(), rows["actual"].to_numpy()
    with svg_figure(path, 4.2, 4.2) as figure:
        axes = figure.add_subplot()
        axes.plot([said.min(), said.max()], [said.min(), said.max()], color=GREY, linewidth=1)
        axes.plot(said, came, ".", color=BLUE, markersize=2)
        axes.set_xlabel("median of the loss")
        axes.set_ylabel("loss that came")
        axes.set_title(f"{name}: {len(rows):,} loans", fontsize=9, loc="left")


def plain_values(path: Path, **changes: Any) -> dict[str, Any]:
    """The values of a definition over the file of `write_plain_rows`; keyword arguments replace top-level keys."""
    columns = {"entity": "loan", "time": "granted", "amount": "amount", "income": "income", "age": "age", "loss": "loss"}
    values: dict[str, Any] = {
        "name": "loans",
        "simulated": True,
        "source": {"kind": "csv", "path": str(path), "columns": columns},
        "contract": {"kind": "table"},
        "features": [{"kind": "value", "column": column} for column in ("amount", "income", "age")],
        "window": {"length": 1, "horizon": 1, "maximum_gap": 0},
        "problem": {"kind": "plain-rows", "column": "loss", "known_after_days": 30},
        "folds": {"first_test": "2020-07-01", "months": 6, "validation_months": 2, "embargo": 1},
        "candidates": {"dense": {"model": "dense", "settings": {"hidden": [16], "epochs": 15, "batch": 256, "learning_rate": 0.01}}},
        "baselines": {"historical-mean": {"model": "historical_mean"}, "ridge": {"model": "ridge"}},
        "reference": "historical-mean",
        "seeds": 1,
        "gate": {"loss": "mae", "minimum_dates": 50},
    }
    return {**values, **changes}


def write_plain_rows(path: Path, rows: int = 3000, seed: int = 5) -> Path:
    """A CSV of loans over two years, several a day; the loss grows with the amount over the income, and with youth."""
    random = np.random.default_rng(seed)
    granted = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(random.integers(0, 730, rows)), unit="D")
    amount, income, age = random.lognormal(0, 0.5, rows), random.lognormal(1, 0.3, rows), random.uniform(18, 80, rows)
    loss = amount / income + 0.02 * np.maximum(40 - age, 0) + random.normal(0, 0.1, rows)
    frame = pd.DataFrame({"loan": [f"L{number:06d}" for number in range(rows)], "granted": granted.strftime("%Y-%m-%d")})
    frame.assign(amount=amount, income=income, age=age, loss=loss).to_csv(path, index=False)
    return path
