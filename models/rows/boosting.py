"""Gradient boosted trees over rows by LightGBM (Ke et al. 2017), kept in its native text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finflow.models.base import Contributions, FitReport, Hardware, ModelSettings, Task
from finflow.models.class_codes import class_codes
from finflow.models.errors import FitFailure
from finflow.models.rows.calibration import logistic_curve
from finflow.models.rows.categories import MISSING_PLACE, Vocabulary
from finflow.models.rows.tabular import AugmentedSettings, TabularModel
from finflow.models.rows.tree_text import check_tree_text, without_tail
from finflow.models.samples import Float32, Float64, Samples

if TYPE_CHECKING:
    import lightgbm

TREES = "trees.txt"
VOCABULARY = "vocabulary.safetensors"


class BoostingSettings(AugmentedSettings):
    """Trees, how many, and how they are held back."""

    rounds: int = Field(default=2000, ge=1, le=100_000, description="trees at most")
    patience: int = Field(
        default=100, ge=1, le=100_000, description="trees without a better log loss on the part that stops, before it does"
    )
    learning_rate: float = Field(default=0.03, gt=0, le=1, description="how much each tree counts")
    leaves: int = Field(default=15, ge=2, le=4096, description="of a tree, at most")
    leaf_rows: int = Field(default=20, ge=1, le=1_000_000, description="training rows in a leaf, at least")
    features: float = Field(default=0.7, gt=0, le=1, description="part of the features that each tree may use")
    rows: float = Field(default=0.8, gt=0, le=1, description="part of the rows that each tree is grown on")
    l2: float = Field(default=1.0, ge=0, le=1e9, description="squared penalty of the leaves")
    category_rows: int = Field(
        default=20, ge=1, le=1_000_000, description="training rows of categories that are split off together, at least"
    )
    fewest: int = Field(default=5, ge=1, le=1_000_000, description="categories of fewer training rows are one")
    monotone: dict[str, Literal[-1, 1]] = Field(
        default={}, description="features that may move the probability one way only: 1 up, -1 down, where they grow"
    )


class Boosting(TabularModel):
    """Early stopping by the log loss on the part that chooses. One thread and one seed a fit, so that its bits can be had again."""

    Settings: ClassVar[type[ModelSettings]] = BoostingSettings
    family: ClassVar[str] = "gradient boosting"
    seeded: ClassVar[bool] = True

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.booster: lightgbm.Booster | None = None
        self.text = ""
        self.vocabulary = Vocabulary(())

    def check_task(self) -> None:
        super().check_task()
        unknown = sorted(set(cast(BoostingSettings, self.settings).monotone) - set(self.task.features))
        if unknown:
            raise FitFailure(f"monotone names {unknown}, which are no numeric features: there are {list(self.task.features)}")

    def fit_rows(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        lightgbm = _library()
        settings = cast(BoostingSettings, self.settings)
        self.vocabulary = Vocabulary.of(self.codes(train), settings.fewest)
        first = len(self.task.features)
        categorical = list(range(first, first + len(self.task.categories)))
        parameters = self._parameters(seed, hardware.threads)
        training = lightgbm.Dataset(
            self._inputs(train), class_codes(train, self.task), params=parameters, categorical_feature=categorical, free_raw_data=True
        )
        codes = class_codes(validation, self.task)
        # Trees learn the base rate of the training rows; what stops them is the loss at that of the real ones.
        stopping = training.create_valid(
            self._inputs(validation), codes, init_score=np.full(len(codes), -self.shift) if self.shift else None
        )
        stop = lightgbm.early_stopping(settings.patience, verbose=False)
        booster = lightgbm.train(parameters, training, settings.rounds, valid_sets=[stopping], callbacks=[stop])
        kept = max(booster.best_iteration, 1)
        self._read(without_tail(booster.model_to_string(num_iteration=kept)))
        loss = booster.best_score["valid_0"]["binary_logloss"]
        leaves = sum(int(line.partition("=")[2]) for line in self.text.splitlines() if line.startswith("num_leaves="))
        return FitReport(parameters=leaves, notes={"trees": kept, "stopping_log_loss": float(loss)})

    def raw_probability(self, samples: Samples) -> Float64:
        return logistic_curve(self._log_odds(self._inputs(samples)))

    def contributions(self, samples: Samples) -> Contributions:
        """Exact Shapley values of the trees (Lundberg et al. 2020), of the log odds before calibration."""
        inputs = self._inputs(samples)
        contributions = np.asarray(self._fitted().predict(inputs, pred_contrib=True, num_threads=1), dtype=np.float64)
        base = contributions[:, -1] - self.shift
        return Contributions(contributions[:, :-1].astype(np.float32), base.astype(np.float32), self._log_odds(inputs).astype(np.float32))

    def save_rows(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        self._fitted()
        (folder / TREES).write_text(self.text, encoding="utf-8")
        arrays = {name: np.ascontiguousarray(array) for name, array in self.vocabulary.arrays().items()}
        save_file({**arrays, "shift": np.array([self.shift])}, folder / VOCABULARY)

    def load_rows(self, folder: Path) -> None:
        """Raises ValueError: the trees are not ones that this model could have written; LightGBM is then not asked to read them."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / VOCABULARY)
        self.vocabulary = Vocabulary.from_arrays(arrays)
        # Trees that were kept before there was a shift had none.
        shift = arrays.get("shift", np.zeros(1))
        if shift.shape != (1,) or not np.isfinite(shift).all():
            raise ValueError(f"the shift of log odds in {VOCABULARY} is {shift.tolist()}, no finite number: the file is damaged")
        self.shift = float(shift[0])
        if len(self.vocabulary.codes) != len(self.task.categories):
            raise ValueError(f"a vocabulary of {len(self.vocabulary.codes)} features; the task has {len(self.task.categories)} categories")
        self._read((folder / TREES).read_bytes().decode("utf-8"))

    def _read(self, text: str) -> None:
        lightgbm = _library()
        check_tree_text(text, len(self.task.features) + len(self.task.categories))
        self.booster = lightgbm.Booster(model_str=text)
        self.text = text

    def _fitted(self) -> lightgbm.Booster:
        if self.booster is None:
            raise RuntimeError("fit or load the model first")
        return self.booster

    def _log_odds(self, inputs: Float32) -> Float64:
        """float64, [n]: before calibration."""
        return np.asarray(self._fitted().predict(inputs, raw_score=True, num_threads=1), dtype=np.float64) - self.shift

    def _inputs(self, samples: Samples) -> Float32:
        """float32, [n, features + categories]: numbers, and places in the vocabulary; NaN where either is missing."""
        places: NDArray = self.vocabulary.places(self.codes(samples))
        coded = np.where(places == MISSING_PLACE, np.float32(np.nan), places.astype(np.float32))
        return np.ascontiguousarray(np.column_stack([self.numbers(samples), coded]), dtype=np.float32)

    def _parameters(self, seed: int, threads: int) -> dict[str, Any]:
        settings = cast(BoostingSettings, self.settings)
        parameters: dict[str, Any] = {
            "objective": "binary",
            "metric": "binary_logloss",
            "learning_rate": settings.learning_rate,
            "num_leaves": settings.leaves,
            "min_data_in_leaf": settings.leaf_rows,
            "feature_fraction": settings.features,
            "bagging_fraction": settings.rows,
            "bagging_freq": 1 if settings.rows < 1 else 0,
            "lambda_l2": settings.l2,
            "min_data_per_group": settings.category_rows,
            "seed": seed % 2**31,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": threads,
            "verbosity": -1,
        }
        if settings.monotone:
            ways = [settings.monotone.get(name, 0) for name in self.task.features] + [0] * len(self.task.categories)
            parameters |= {"monotone_constraints": ways, "monotone_constraints_method": "advanced"}
        return parameters


def _library() -> Any:
    """LightGBM.

    Raises:
        FitFailure: the OpenMP library that its wheel does not bring is absent.
    """
    try:
        import lightgbm
    except OSError as error:
        raise FitFailure(
            f"LightGBM cannot be loaded ({error}): install the system's OpenMP library, libgomp1 on Debian and Ubuntu"
        ) from error
    return lightgbm
