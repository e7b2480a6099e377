"""A small market in a lake of its own, and a version that answers from every bit of its window: for tests of scoring and backfill."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from finflow.models.samples import Samples
from finflow.pipelines.core.calendars import published_at, sessions
from finflow.pipelines.core.errors import RegistryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest, RawManifest
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.lake import Lake
from tests.support import tiny_values
from tests.support.patching import replace_everywhere

FIRST, LAST = "2017-01-03", "2017-06-30"
ENTITIES = ("ALPHA", "BETA", "中国银行")


class WindowMean(Model):
    """Answers a weighted sum of all values of its context: one changed bit in a window changes the answer."""

    Settings = ModelSettings
    family = "test"

    def __init__(self, settings: ModelSettings, task: Task, context: int | None = None, scale: float = 0.01) -> None:
        super().__init__(settings, task)
        self._context = context or task.length
        self.scale = scale

    @property
    def context(self) -> int:
        return self._context

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        return FitReport()

    def predict(self, samples: Samples) -> Prediction:
        windows = np.nan_to_num(samples.gather(length=self._context)[:, :, samples.observations.columns.index("log_return")])
        weights = np.linspace(0.5, 1.5, windows.shape[1], dtype=np.float32)
        centre = (windows * weights).sum(axis=1)[:, None, None] * np.float32(self.scale)
        spread = np.array([level - 0.5 for level in self.task.levels], dtype=np.float32)[None, None, :] * np.float32(0.01)
        values = np.repeat(centre, self.task.outputs, axis=1) + spread
        return Prediction("quantiles", values.astype(np.float32), self.task.levels)

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> WindowMean:
        return cls(settings, task)


@dataclass
class Served:
    """What `load_version` gives, as far as scoring reads it."""

    version: int
    task: Task
    model: Model
    manifest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What scoring reads of a row of the promotions table."""

    version: int
    effective_as_of: pd.Timestamp
    verdict: str = "promoted"
    moves: bool = True


@dataclass
class Registry:
    """Versions and promotions that a test sets; stands in for `finflow.pipelines.registry.versions` and for the promotions of contexts that
    are opened from then on."""

    definition: Definition
    rows: list[Row] = field(default_factory=list)
    broken: set[int] = field(default_factory=set)
    models: dict[int, dict[str, Any]] = field(default_factory=dict)
    loaded: list[int] = field(default_factory=list)

    def promote(self, version: int, as_of: str, **model: Any) -> None:
        instant = published_at(self.definition.calendar, self.definition.publication_lag_minutes, [pd.Timestamp(as_of)])[0]
        self.rows.append(Row(version, instant))
        self.models[version] = model

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        outer = self

        class Promotions:
            def __init__(self, lake: Lake, definition_name: str, heads: Path | None = None) -> None:
                pass

            def rows(self) -> list[Row]:
                return outer.rows

            def champion(self) -> Row | None:
                return outer.rows[-1] if outer.rows else None

            def effective(self, date: Any) -> int | None:
                before = [row for row in outer.rows if row.effective_as_of <= instant_of(outer.definition, date)]
                return before[-1].version if before else None

        monkeypatch.setattr("finflow.pipelines.definitions.context.Promotions", Promotions)
        replace_everywhere(monkeypatch, "finflow.pipelines.registry.versions.load_version", lambda context, version: self.load(version))
        replace_everywhere(monkeypatch, "finflow.pipelines.registry.versions.repair_aliases", lambda context: None)

    def load(self, version: int) -> Served:
        from finflow.pipelines.samples.windows import task_of

        if version in self.broken:
            raise RegistryError(f"version {version} was tampered with")
        self.loaded.append(version)
        labels = tuple(feature.label for feature in self.definition.features)
        task = task_of(self.definition, (*labels, "__increment", "__level"))
        return Served(version, task, WindowMean(ModelSettings(), task, **self.models[version]))


def instant_of(definition: Definition, date: Any) -> pd.Timestamp:
    if isinstance(date, pd.Timestamp) and date.tzinfo is not None:
        return date
    return published_at(definition.calendar, definition.publication_lag_minutes, [pd.Timestamp(date)])[0]


def small_definition(**changes: Any) -> Definition:
    """Three entities, windows of ten days, two days ahead."""
    return parse_definition(tiny_values(**changes))


def bars(entities: tuple[str, ...] = ENTITIES, first: str = FIRST, last: str = LAST, seed: int = 5) -> pd.DataFrame:
    """Bars of every session, with `known_at` by the rule of publication."""
    days = sessions("XNYS", first, last)
    parts = []
    for number, entity in enumerate(entities):
        random = np.random.default_rng(seed + number)
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, len(days))))
        opened = close * np.exp(random.normal(0, 0.002, len(days)))
        high, low = np.maximum(opened, close) * 1.003, np.minimum(opened, close) * 0.997
        values = {"open": opened, "high": high, "low": low, "close": close, "volume": random.uniform(1e5, 2e5, len(days))}
        parts.append(pd.DataFrame({"entity": entity, "time": days.as_unit("us"), **values}))
    frame = pd.concat(parts, ignore_index=True)
    frame["known_at"] = published_at("XNYS", 60, frame["time"])
    return frame


@dataclass
class Market:
    """Raw and clean tables that hold the same rows."""

    home: Home
    definition: Definition
    frame: pd.DataFrame

    @property
    def context(self) -> Context:
        return open_context(self.definition, self.home)

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake)

    def write(self, frame: pd.DataFrame | None = None) -> None:
        """Append rows (all by default) to both tables."""
        frame = (self.frame if frame is None else frame).copy()
        frame["period"] = frame["time"].dt.strftime("%Y")
        for table in ("raw", "clean"):
            self.lake.append(f"{table}/{self.definition.name}", frame)

    def revise(self, entity: str, date: str, known: str, factor: float = 1.1) -> None:
        """A corrected row of `date`, known a minute before the session `known` is published (after it where that is its own)."""
        row = self.frame[(self.frame["entity"] == entity) & (self.frame["time"] == pd.Timestamp(date))].copy()
        row[["open", "high", "low", "close"]] *= factor
        row["known_at"] = published_at("XNYS", 61 if known == date else 59, [pd.Timestamp(known)])
        self.write(row)

    def clean(self, date: str = LAST) -> CleanManifest:
        """The batch as of a date's publication."""
        name, as_of = self.definition.name, published_at("XNYS", 60, [pd.Timestamp(date)])[0]
        versions = {table: self.lake.version(f"{table}/{name}") or 0 for table in ("raw", "clean")}
        raw = RawManifest(f"raw/{name}", versions["raw"], 0, len(self.frame), FIRST, LAST)
        return CleanManifest(f"clean/{name}", versions["clean"], as_of.isoformat(), "digest", len(self.frame), 3, 0, (), "", raw)


def make_market(home: Home, frame: pd.DataFrame | None = None, **changes: Any) -> Market:
    market = Market(home, small_definition(**changes), bars() if frame is None else frame)
    market.write()
    return market
