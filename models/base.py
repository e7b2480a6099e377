"""The one interface of every model, network or classical."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from finflow.models.samples import Samples

Kind = Literal["quantiles", "probabilities", "scores", "paths", "variances"]
#: Lightning's precisions that a fit may use
PRECISIONS = ("32-true", "64-true", "bf16-mixed", "bf16-true")
#: names of the strategy by which several devices train one network: each takes its share of every batch, and gradients are averaged
DDP = ("auto", "ddp", "ddp_spawn", "ddp_fork")


class ModelSettings(BaseModel):
    """What a person may set for a model in a definition; each model extends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Task:
    """What a problem asks of a model, as plain JSON-able values.

    Attributes:
        kind: form of the answer.
        outputs: number of targets a sample (horizons, or 1).
        levels: quantile levels in (0, 1), ascending, with 0.5 among them; empty unless kind is `quantiles`.
        classes: class names; empty unless kind is `probabilities`.
        columns: every observation column, in order.
        features: those of them that a model may learn from.
        length: observations in a window.
        increment: column whose sum over the next h steps is target h (a log return), or None where targets are not sums.
        level: column holding the level that the target is a change of (a log price), or None.
        steps: for variances and their quantiles, the steps ahead over whose mean each output is taken: (1, 5) asks for the next one and the
            next five.
        log_variance: column holding the logarithm of the observation's own variance, or None. With it, `quantiles` are of the logarithms of
            variances, and so are the targets.
        move: column holding the observation's own log return, which variances answer to, or None.
        paths: for `paths`, how many a model draws.
        categories: names of the categorical features, in the order of the block of their codes (`samples.gather_categories`).
        missing: whether a value of a feature may be missing (NaN); of a category 0 says so.
    """

    kind: Kind
    outputs: int
    levels: tuple[float, ...]
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    features: tuple[str, ...]
    length: int
    increment: str | None = None
    level: str | None = None
    steps: tuple[int, ...] = ()
    log_variance: str | None = None
    move: str | None = None
    paths: int = 0
    categories: tuple[str, ...] = ()
    missing: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        names = ("levels", "classes", "columns", "features", "steps", "categories")
        fields: dict[str, Any] = {key: tuple(value) if key in names else value for key, value in values.items()}
        return cls(**fields)

    @property
    def weight(self) -> int:
        """How many times the memory of a usual forecast (up to 50 numbers) one answer takes: for whoever works through samples in parts."""
        return max(1, self.outputs * max(len(self.levels), len(self.classes), self.paths, 1) // 50)

    @property
    def feature_positions(self) -> NDArray[np.int64]:
        """int64: where `features` stand among `columns`."""
        place = {name: number for number, name in enumerate(self.columns)}
        return np.array([place[name] for name in self.features], dtype=np.int64)


@dataclass(frozen=True)
class Hardware:
    """Where a fit runs. It is part of a fit's key, because bits depend on it."""

    accelerator: str = "cpu"
    devices: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model answers for n samples.

    Attributes:
        kind: how to read `values`.
        values: float32; quantiles [n, outputs, levels], ascending along levels; probabilities [n, classes], summing to 1;
            scores [n, outputs]; paths [n, paths, outputs]; variances [n, outputs], positive: what is expected, in the target's unit.
        levels: the quantile levels, for quantiles.
    """

    kind: Kind
    values: NDArray[np.float32]
    levels: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def take(self, positions: Any) -> Prediction:
        return Prediction(self.kind, self.values[positions], self.levels)

    @property
    def median(self) -> NDArray[np.float32]:
        """float32, [n, outputs]: the point forecast of quantiles.

        Raises:
            ValueError: these are not quantiles.
        """
        if self.kind != "quantiles":
            raise ValueError(f"a median needs quantiles, this prediction holds {self.kind}")
        return self.values[:, :, self.levels.index(0.5)]


@dataclass(frozen=True, eq=False)
class Contributions:
    """How far each input moved a model's score, for n samples.

    Attributes:
        values: float32, [n, features + categories]; in the order of the task's `features` and then its `categories`. Positive: towards
            the last class.
        base: float32, [n]; the score of a sample of which nothing is known.
        score: float32, [n]; the model's own score, whatever its scale (log odds before calibration), of which `base` and `values` are
            the parts.
    """

    values: NDArray[np.float32]
    base: NDArray[np.float32]
    score: NDArray[np.float32]

    @property
    def error(self) -> NDArray[np.float64]:
        """float64, [n]: by how much the parts miss the score (completeness): 0 for an exact explanation."""
        parts = self.values.astype(np.float64).sum(axis=1) + self.base
        return np.asarray(parts - self.score)


@dataclass(frozen=True)
class FitReport:
    """What happened in a fit.

    Attributes:
        epochs: one dict an epoch with `epoch`, `train_loss`, `validation_loss`; empty for classical models.
        best_epoch: the epoch whose weights were kept, or None.
        parameters: number of fitted parameters.
        notes: plain facts worth a line in the report (the chosen order of an ARIMA, say).
    """

    epochs: tuple[dict[str, float], ...] = ()
    best_epoch: int | None = None
    parameters: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


class Model(ABC):
    """A model bound to its settings and a task. Fitted once, saved to a folder, loaded from it.

    Preprocessing that is fitted belongs to the model: `predict` takes raw observations.
    """

    Settings: ClassVar[type[ModelSettings]]
    family: ClassVar[str]
    #: whether different seeds give different fits (several seeds are then fitted and averaged)
    seeded: ClassVar[bool] = False
    #: whether it runs on the hardware that is asked for; others run in one process on the CPU, whatever is asked for
    accelerated: ClassVar[bool] = False

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        self.settings = settings
        self.task = task

    @property
    def context(self) -> int:
        """Observations up to a sample's time that `predict` reads: the window, or more where a filter reaches back further."""
        return self.task.length

    def check_task(self) -> None:
        """Refuse a task that this model cannot answer with its settings, whatever the data are; by default it takes any.

        `fit` begins with it, and a training asks all of its recipes before the first fit.

        Raises:
            finflow.models.errors.FitFailure: naming what is asked and what to do.
        """
        return

    @abstractmethod
    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        """Fit on labelled samples; `validation` is the later slice for early stopping and such choices.

        Raises:
            finflow.models.errors.FitFailure: the loss is not finite, or the data cannot be fitted.
        """

    @abstractmethod
    def predict(self, samples: Samples) -> Prediction:
        """Predict every sample; a sample's bits do not depend on its neighbours in the call."""

    def contributions(self, samples: Samples) -> Contributions | None:
        """What moved the score of every sample, for the reasons that go with a decision; None: this model cannot say."""
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the fitted state into an existing empty folder: safetensors, JSON, native text or skops; never pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Self:
        """Read what `save` wrote."""
