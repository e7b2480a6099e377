"""Prediction rows read back as the answers they were laid out from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Prediction
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.definitions.loading import DEFINITIONS, load_definition
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.samples.windows import task_of
from finflow.pipelines.settings.parts import Window
from finflow.pipelines.training.plan import check_loss, check_recipes
from tests.support.pipelines.bars import definition
from tests.support.pipelines.default_problem import Default, DefaultSettings
from tests.support.pipelines.problems.indices import index_of
from tests.support.plain_rows import PlainRows, PlainRowsSettings

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
ENTITIES = ("ALPHA", "中国银行")


def problems() -> dict[str, tuple[Problem, Prediction]]:
    """One of each kind, with the answers to four samples."""
    random = np.random.default_rng(0)
    window = Window(length=1, horizon=3)
    spread = np.sort(random.normal(0, 0.02, (4, 3, 5)), axis=2).astype(np.float32)
    chances = random.dirichlet([1, 1], size=4).astype(np.float32)
    plain = PlainRowsSettings(column="loss", known_after_days=30, levels=LEVELS)
    forecasts = {
        transform: problem_of(
            definition(window=window.model_dump(), problem={"kind": "forecast", "levels": list(LEVELS), "transform": transform})
        )
        for transform in ("log", "none")
    }
    return {
        **{transform: (problem, Prediction("quantiles", spread, LEVELS)) for transform, problem in forecasts.items()},
        "plain rows": (PlainRows(plain, window), Prediction("quantiles", spread[:, :1], LEVELS)),
        "probabilities": (Default(DefaultSettings(), window), Prediction("probabilities", chances)),
    }


@pytest.mark.parametrize("kind", ["log", "none", "plain rows", "probabilities"])
def test_what_was_laid_out_is_read_back_whatever_the_order(kind: str) -> None:
    problem, prediction = problems()[kind]
    outputs = prediction.values.shape[1] if prediction.kind == "quantiles" else 1
    index = index_of(np.zeros((4, outputs)), entity=[0, 0, 1, 1], times=["2020-01-02", "2020-01-03"] * 2, origin=2468.13)
    rows = problem.rows(prediction, index, ENTITIES)
    mixed = rows.sample(frac=1.0, random_state=1).assign(version=3, in_sample=False)
    found = problem.answers(mixed, index, ENTITIES)
    assert (found.kind, found.levels) == (prediction.kind, prediction.levels)
    # a float32 change of price goes through float64 and back
    np.testing.assert_allclose(found.values, prediction.values, rtol=2e-7, atol=2e-12 if kind == "log" else 3e-12)


def test_a_missing_row_or_column_is_named() -> None:
    problem, prediction = problems()["log"]
    index = index_of(np.zeros((4, 3)), entity=[0, 0, 1, 1], times=["2020-01-02", "2020-01-03"] * 2)
    rows = problem.rows(prediction, index, ENTITIES)
    with pytest.raises(FinflowError, match="no row of 中国银行 at 2020-01-03, 3 ahead"):
        problem.answers(rows.iloc[:-1], index, ENTITIES)
    with pytest.raises(FinflowError, match="no column q95"):
        problem.answers(rows.drop(columns="q95"), index, ENTITIES)


def test_a_problem_that_changes_its_answers_is_told_to_read_them_back_itself() -> None:
    class InPercent(PlainRows):
        def rows(self, prediction: Prediction, index: Any, entities: tuple[str, ...]) -> pd.DataFrame:
            laid = super().rows(prediction, index, entities)
            return laid.assign(**{str(name): 100 * laid[name] for name in laid if str(name).startswith("q")})

    problem, prediction = problems()["plain rows"]
    wrong = InPercent(problem.settings, problem.window)
    index = index_of(np.zeros((4, 1)), entity=[0, 0, 1, 1], times=["2020-01-02", "2020-01-03"] * 2)
    with pytest.raises(FinflowError, match="InPercent changes its answers"):
        wrong.answers(wrong.rows(prediction, index, ENTITIES), index, ENTITIES)


@pytest.mark.parametrize("kind", ["log", "plain rows", "probabilities"])
def test_losses_are_named_without_a_sample(kind: str) -> None:
    problem, prediction = problems()[kind]
    outputs = prediction.values.shape[1] if prediction.kind == "quantiles" else 1
    index = index_of(np.zeros((4, outputs)), entity=[0, 0, 1, 1], times=["2020-01-02", "2020-01-03"] * 2, origin=2468.13)
    assert problem.loss_names == tuple(problem.losses(prediction, index))


def test_every_shipped_definition_has_its_deciding_loss_and_recipes_that_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINFLOW_FX_RATES", "/data/eurofxref-hist.csv")
    for path in sorted(DEFINITIONS.glob("*.yaml")):
        found = load_definition(path.stem)
        check_loss(found)
        check_recipes(found.recipes, task_of(found, ()))
