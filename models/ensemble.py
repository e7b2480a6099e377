"""Several fits of one recipe as one model: their forecasts are averaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from finflow.models.answers import ANSWERS
from finflow.models.base import Contributions, FitReport, Hardware, Model, ModelSettings, Prediction, Task
from finflow.models.errors import FitFailure
from finflow.models.samples import Samples
from finflow.models.saving import ENSEMBLE, FORMAT, load_model, read_description, save_model, write_json


class EnsembleSettings(ModelSettings):
    """An ensemble has none; its members have theirs."""


class Ensemble(Model):
    """Members that answer the same task. Fitted one by one; never itself.

    Attributes:
        members: the fitted models, in the order of their seeds.
    """

    Settings: ClassVar[type[ModelSettings]] = EnsembleSettings
    family: ClassVar[str] = "ensemble"

    def __init__(self, members: Sequence[Model]) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one member")
        if any(member.task != members[0].task for member in members):
            raise ValueError("the members of an ensemble must answer one task; these were fitted for different ones")
        super().__init__(EnsembleSettings(), members[0].task)
        self.members = tuple(members)

    @property
    def context(self) -> int:
        return max(member.context for member in self.members)

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        """Refuses: members are fitted one by one.

        Raises:
            FitFailure: always.
        """
        raise FitFailure("an ensemble is made of fitted models: fit its members one by one, then save_ensemble")

    def predict(self, samples: Samples) -> Prediction:
        return average([member.predict(samples) for member in self.members])

    def contributions(self, samples: Samples) -> Contributions | None:
        """The means over the members; None where one of them cannot say."""
        by_member = [member.contributions(samples) for member in self.members]
        given = [one for one in by_member if one is not None]
        if len(given) < len(by_member):
            return None

        def mean(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
            return np.mean(np.stack(arrays).astype(np.float64), axis=0).astype(np.float32)

        return Contributions(*(mean([getattr(one, name) for one in given]) for name in ("values", "base", "score")))

    def save(self, folder: Path) -> None:
        for number, member in enumerate(self.members):
            save_model(member, folder / str(number))
        write_json(folder / "members.json", {"members": len(self.members)})

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Self:
        """Raises ValueError: a member is missing, or answers another task."""
        try:
            count = int(json.loads((folder / "members.json").read_text(encoding="utf-8"))["members"])
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            raise ValueError(f"{folder}/members.json is absent or damaged: the ensemble cannot be read") from None
        ensemble = cls([load_model(folder / str(number)) for number in range(count)])
        if ensemble.task != task:
            raise ValueError(f"the members in {folder} answer another task than the ensemble's model.json says")
        return ensemble


def save_ensemble(folders: Sequence[Path], folder: Path) -> None:
    """Make `folder` an ensemble of the models saved in `folders`, by copying their files. `load_model` reads it.

    Raises:
        FileExistsError: `folder` holds a model already.
        ValueError: there is no folder, or one holds no model, or their tasks differ.
    """
    if not folders:
        raise ValueError("an ensemble needs at least one member")
    tasks = [read_description(member)["task"] for member in folders]
    if any(task != tasks[0] for task in tasks):
        raise ValueError("the members of an ensemble must answer one task; these were fitted for different ones")
    if (folder / "model.json").exists():
        raise FileExistsError(f"{folder} holds a model already; save into a new folder")
    state = folder / "state"
    state.mkdir(parents=True)
    for number, member in enumerate(folders):
        (state / str(number)).mkdir()
        shutil.copyfile(member / "model.json", state / str(number) / "model.json")
        shutil.copytree(member / "state", state / str(number) / "state")
    write_json(state / "members.json", {"members": len(folders)})
    write_json(folder / "model.json", {"format": FORMAT, "model": ENSEMBLE, "settings": {}, "task": tasks[0]})


def average(predictions: Sequence[Prediction]) -> Prediction:
    """One forecast of several for the same samples, as their form of answer is averaged: see finflow.models.answers.

    Raises:
        ValueError: there is none, or they differ in kind, levels or shape.
    """
    if not predictions:
        raise ValueError("there is no prediction to average")
    first = predictions[0]
    if len(predictions) == 1:
        return first
    for other in predictions[1:]:
        if (other.kind, other.levels, other.values.shape) != (first.kind, first.levels, first.values.shape):
            raise ValueError(
                f"predictions differ: {first.kind} {first.values.shape} {first.levels} and {other.kind} {other.values.shape} {other.levels}"
            )
    return Prediction(first.kind, ANSWERS[first.kind].average([prediction.values for prediction in predictions]), first.levels)
