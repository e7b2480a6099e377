"""A small run up to its samples, and small models with manners of their own: for tests of fits, versions and tracking."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from finflow.models.errors import FitFailure
from finflow.models.samples import Samples
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest, FitSpec, Fold, RawManifest, SampleManifest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.samples.folds import make_folds
from finflow.pipelines.samples.store import write_samples
from finflow.pipelines.samples.windows import build_samples, task_of
from finflow.pipelines.settings.parts import Recipe
from tests.support import tiny_values

DAYS = 600
AS_OF = "2017-04-21T21:00:00+00:00"
SEEDED = "noisy"
MODELS = {
    "noisy": "tests.support.pipelines.fit_support:Noisy",
    "fixed": "tests.support.pipelines.fit_support:Fixed",
    "failing": "tests.support.pipelines.fit_support:Failing",
    "broken": "tests.support.pipelines.fit_support:Broken",
    "dying": "tests.support.pipelines.fit_support:Dying",
    "slow": "tests.support.pipelines.fit_support:Slow",
}


class Settings(ModelSettings):
    width: float = 0.01
    place: str = ""


class Noisy(Model):
    """The mean of the window plus a constant drawn with the seed. `fit` counts itself in the file `place`, if one is named."""

    Settings = Settings
    family = "test"
    seeded = True
    accelerated = True
    settings: Settings

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.shift = np.zeros(1, dtype=np.float32)

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        if self.settings.place:
            with Path(self.settings.place).open("a") as stream:
                stream.write(f"{os.getpid()}\n")
        self.shift = np.random.default_rng(seed).normal(float(train.targets.mean()), 1e-3, size=1).astype(np.float32)
        points = tuple({"epoch": number, "train_loss": 1.0 / (number + 1), "validation_loss": 1.1 / (number + 1)} for number in range(3))
        return FitReport(epochs=points, best_epoch=2, parameters=1, notes={"train": np.int64(len(train))})

    def predict(self, samples: Samples) -> Prediction:
        centre = samples.gather()[:, :, 0].mean(axis=1)[:, None, None] * np.float32(0.01) + self.shift
        spread = np.array([level - 0.5 for level in self.task.levels], dtype=np.float32) * np.float32(self.settings.width)
        return Prediction("quantiles", np.repeat(centre, self.task.outputs, axis=1) + spread, self.task.levels)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"shift": self.shift}, folder / "state.safetensors")

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Noisy:
        from safetensors.numpy import load_file

        model = cls(settings, task)
        model.shift = load_file(folder / "state.safetensors")["shift"]
        return model


class Fixed(Noisy):
    """The same without chance."""

    seeded = False


class Failing(Fixed):
    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        raise FitFailure("the loss is not finite in epoch 3")


class Broken(Fixed):
    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        print("said before it broke")  # noqa: T201
        raise ZeroDivisionError("a bug")


class Dying(Fixed):
    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        os.kill(os.getpid(), signal.SIGKILL)
        return FitReport()


class Slow(Fixed):
    """Waits for a minute after it counted itself, unless a file `<place>.go` is there."""

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        report = super().fit(train, validation, seed=seed, hardware=hardware)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not Path(f"{self.settings.place}.go").exists():
            time.sleep(0.02)
        return report


@pytest.fixture
def own_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models above, under their names in the zoo."""
    from finflow.models.zoo import ZOO

    for name, place in MODELS.items():
        monkeypatch.setitem(ZOO, name, place)


def definition(**changes: Any) -> Definition:
    values = tiny_values(candidates={"net": {"model": "ridge", "settings": {}}}, baselines={"random-walk": {"model": "random_walk"}})
    return parse_definition({**values, **changes})


def recipes(**models: Mapping[str, Any]) -> dict[str, Recipe]:
    """By candidate, a recipe of a model with settings: recipes(a={"model": "noisy"})."""
    return {name: Recipe.model_validate(values) for name, values in models.items()}


def market(days: int = DAYS, entities: tuple[str, ...] = ("ALPHA", "中国银行"), seed: int = 5) -> pd.DataFrame:
    """Clean daily bars; more days only add rows at each entity's end."""
    parts = []
    for number, entity in enumerate(entities):
        draw = np.random.default_rng(seed + number).normal(size=(5000, 3))[:days]
        close = 100 * np.exp(np.cumsum(0.01 * draw[:, 0]))
        opened = close * np.exp(0.002 * draw[:, 1])
        spread = np.exp(0.003 * np.abs(draw[:, 2]))
        time_ = pd.bdate_range("2015-01-05", periods=days).astype("datetime64[us]")
        columns = {"open": opened, "high": np.maximum(opened, close) * spread, "low": np.minimum(opened, close) / spread, "close": close}
        parts.append(pd.DataFrame({"entity": entity, "time": time_, **columns, "volume": 1e6}))
    return pd.concat(parts, ignore_index=True)


def stored(made: Definition, home: Home, clean: pd.DataFrame, name: str = "samples", as_of: str = AS_OF) -> SampleManifest:
    """Samples of clean rows on disk, as `store_samples` leaves them."""
    samples = build_samples(made, clean)
    folder = home.samples / name
    write_samples(samples, folder, {})
    raw = RawManifest(f"raw/{made.name}", 0, 0, len(clean), "", "")
    table = CleanManifest(f"clean/{made.name}", 0, as_of, name, len(clean), clean["entity"].nunique(), 0, (), str(folder), raw)
    return SampleManifest(
        folder=str(folder),
        digest=name,
        observations=len(samples.observations.values),
        samples=len(samples),
        labelled=int(samples.index.labelled.sum()),
        columns=samples.columns,
        task=task_of(made, samples.columns).to_dict(),
        clean=table,
    )


def kept_clean(samples: SampleManifest, home: Home, clean: pd.DataFrame) -> SampleManifest:
    """The same samples with their clean rows in the lake, each known at 21:00 of its day: a version keeps a few of them."""
    known_at = (clean["time"] + pd.Timedelta(hours=21)).dt.tz_localize("UTC")
    frame = clean.assign(known_at=known_at, period=clean["time"].dt.strftime("%Y"))
    version = Lake(home.lake).append(samples.clean.table, frame)
    return replace(samples, clean=replace(samples.clean, version=version))


def folds_of(made: Definition, samples: SampleManifest) -> tuple[Fold, ...]:
    from finflow.pipelines.samples.windows import open_samples

    return make_folds(made, open_samples(samples.folder).index, pd.Timestamp(samples.clean.as_of))


def planned(
    made: Definition, home: Home, samples: SampleManifest, chosen: Mapping[str, Recipe], seeds: tuple[int, ...] = (1, 2)
) -> tuple[FitSpec, ...]:
    """The specs of recipes on every fold."""
    from finflow.pipelines.fits.fits import plan_fits

    return plan_fits(open_context(made, home), samples, folds_of(made, samples), chosen, Hardware(), seeds)


def listing(folder: Path) -> list[str]:
    """Names in a folder, hidden ones too but the locks."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".locks") if folder.is_dir() else []


def record_of(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "fit.json").read_text())
    return found
