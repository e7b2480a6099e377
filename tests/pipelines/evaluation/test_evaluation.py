"""The evaluation of made-up predictions on real samples: numbers by hand, what lies in the folder, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Prediction
from finflow.models.samples import Samples
from finflow.pipelines.core.errors import DefinitionError, FitError, NotEnoughHistoryError, StateError
from finflow.pipelines.core.manifests import Evaluation, Fold
from finflow.pipelines.definitions.definition import Definition, parse_definition, problem_of
from finflow.pipelines.evaluation.evaluation import date_losses, evaluate
from finflow.pipelines.evaluation.inputs import EvaluationRequest
from finflow.pipelines.evaluation.store import daily_losses, read_evaluation, read_losses
from finflow.pipelines.samples.folds import make_folds, select
from finflow.pipelines.samples.windows import build_samples
from tests.support import left_by_a_killed_process, tiny_values
from tests.support.patching import replace_everywhere

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SPREAD = np.array([-0.03, -0.01, 0.0, 0.01, 0.03])


class Case:
    """Two simulated entities, their test samples, and predictions that miss the target by a stated factor of it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.definition: Definition = parse_definition(tiny_values(**changes))
        self.problem = problem_of(self.definition)
        clean = self.definition.source.read().sort_values(["entity", "time"], ignore_index=True)
        self.samples: Samples = build_samples(self.definition, clean)
        self.as_of = pd.Timestamp("2017-07-31T22:00:00", tz="UTC")
        self.folds: tuple[Fold, ...] = make_folds(self.definition, self.samples.index, self.as_of)
        self.folder = folder
        self.tests = {fold.name: select(fold, self.samples.index, self.definition.folds.embargo).test for fold in self.folds}

    def prediction(self, positions: Any, share: float, noise: float = 0.0, seed: int = 0) -> Prediction:
        target = self.samples.index.target[positions].astype(np.float64)
        median = share * target + noise * np.random.default_rng(seed).normal(size=target.shape)
        return Prediction("quantiles", (median[:, :, None] + SPREAD).astype(np.float32), LEVELS)

    def predictions(self) -> dict[str, dict[str, dict[int, tuple[Any, Prediction]]]]:
        """The random walk's median is no change; ridge knows a little; the network's two seeds know more, and err apart."""
        made: dict[str, dict[str, dict[int, tuple[Any, Prediction]]]] = {"dense": {}, "random-walk": {}, "ridge": {}}
        for fold, test in self.tests.items():
            made["random-walk"][fold] = {0: (test, self.prediction(test, 0.0))}
            made["ridge"][fold] = {0: (test, self.prediction(test, 0.02, 0.0005))}
            made["dense"][fold] = {seed: (test, self.prediction(test, 0.3, 0.002, seed)) for seed in (1, 2)}
        return made

    def evaluate(self, predictions: Any = None, **named: Any) -> Evaluation:
        return evaluate(self.request(predictions=predictions or self.predictions(), **named))

    def request(self, **named: Any) -> EvaluationRequest:
        arguments: dict[str, Any] = {
            "samples": self.samples,
            "folds": self.folds,
            "recipes": self.definition.recipes,
            "run_key": "run",
            "as_of": self.as_of.isoformat(),
            "folder": self.folder / "run",
            "level": self.definition.gate.level,
            "replications": 499,
            **named,
        }
        return EvaluationRequest(definition=self.definition, problem=self.problem, **arguments)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="module")
def evaluation(case: Case) -> Evaluation:
    return case.evaluate()


def entry(evaluation: Evaluation, name: str) -> Any:
    return next(one for one in evaluation.candidates if one.candidate == name)


def test_the_leaderboard_begins_with_the_lowest_loss(evaluation: Evaluation) -> None:
    assert [one.candidate for one in evaluation.candidates] == ["dense", "ridge", "random-walk"]
    assert [one.baseline for one in evaluation.candidates] == [False, True, True]
    assert evaluation.superior == ("dense",)
    assert entry(evaluation, "dense").must_beat == ("random-walk", "ridge")
    assert entry(evaluation, "ridge").must_beat == ("random-walk",)
    assert entry(evaluation, "random-walk").adjusted_p is None
    assert (evaluation.horizon, evaluation.loss, evaluation.reference, evaluation.champion) == (2, "mae", "random-walk", None)
    assert "SIMULATED" in evaluation.protocol
    assert "2 seeds" in evaluation.protocol


def test_one_loss_a_date_with_seeds_averaged_first(case: Case, evaluation: Evaluation) -> None:
    """The same by hand, sample after sample."""
    positions = np.concatenate(list(case.tests.values()))
    target = case.samples.index.target[positions].astype(np.float64)
    made = case.predictions()["dense"]
    median = np.concatenate([(made[f][1][1].median.astype(float) + made[f][2][1].median.astype(float)) / 2 for f in case.tests])
    frame = pd.DataFrame({"time": case.samples.index.time[positions], "loss": np.abs(median - target).mean(axis=1)})
    daily = frame.groupby("time")["loss"].mean()
    dates, losses = daily_losses(evaluation)
    assert (dates == daily.index.to_numpy()).all()
    np.testing.assert_allclose(losses["dense"], daily.to_numpy(), rtol=1e-4)
    assert evaluation.dates == len(daily)
    metrics = {metric.name: metric for metric in entry(evaluation, "dense").metrics}
    assert metrics["mae"].value == pytest.approx(float(losses["dense"].mean()), rel=1e-9)
    assert metrics["mae"].low < metrics["mae"].value < metrics["mae"].high
    against = {one.against: one for one in entry(evaluation, "dense").comparisons}
    assert against["ridge"].effect == pytest.approx(1 - losses["dense"].mean() / losses["ridge"].mean())
    # two seeds that err apart are each worse than their average
    assert set(entry(evaluation, "dense").seed_losses) == {"1", "2"}
    assert min(entry(evaluation, "dense").seed_losses.values()) > losses["dense"].mean()


def test_what_cannot_be_told_from_the_best(case: Case, evaluation: Evaluation) -> None:
    from finflow.pipelines.statistics import default_block, model_confidence_set, superior_predictive_ability

    _, losses = daily_losses(evaluation)
    settings = {"block": default_block(evaluation.dates, evaluation.horizon), "replications": 999, "seed": case.definition.seed}
    ordered = {name: losses[name] for name in case.definition.recipes}
    assert {one.candidate: one.confidence_p for one in evaluation.candidates} == model_confidence_set(ordered, **settings)
    assert entry(evaluation, "dense").confidence_p == 1.0
    assert entry(evaluation, "random-walk").confidence_p < 0.05
    assert evaluation.spa_p == superior_predictive_ability(losses["random-walk"], {"dense": losses["dense"]}, **settings) < 0.05


def test_fold_losses_count_a_date_once(case: Case, evaluation: Evaluation) -> None:
    dates, losses = daily_losses(evaluation)
    for fold in evaluation.folds:
        inside = (dates >= np.datetime64(fold.test_start)) & (dates <= np.datetime64(fold.test_end))
        assert entry(evaluation, "ridge").fold_losses[fold.name] == pytest.approx(float(losses["ridge"][inside].mean()))


def test_the_scaled_error_uses_the_training_part_of_its_own_fold(case: Case, evaluation: Evaluation) -> None:
    total, dates = 0.0, 0
    for fold in case.folds:
        train = case.samples.index.take(select(fold, case.samples.index, case.definition.folds.embargo).train)
        index = case.samples.index.take(case.tests[fold.name])
        scale = np.array([np.abs(train.target[train.entity == code, 0].astype(float)).mean() for code in index.entity])
        scaled = np.abs(index.target.astype(float)).mean(axis=1) / scale
        daily = pd.Series(scaled).groupby(index.time).mean()
        total, dates = total + daily.sum(), dates + len(daily)
    mase = next(metric for metric in entry(evaluation, "random-walk").metrics if metric.name == "mase")
    assert mase.value == pytest.approx(total / dates, rel=1e-5)


def test_what_lies_in_the_folder(case: Case, evaluation: Evaluation) -> None:
    folder = Path(evaluation.folder)
    assert read_evaluation(folder) == evaluation
    losses = read_losses(evaluation)
    assert set(losses.columns) == {"time", "entity", "fold", "candidate", "crps", "mae", "mse", "decided"}
    count = sum(len(test) for test in case.tests.values())
    assert len(losses) == 3 * count
    assert sorted(path.name for path in folder.iterdir()) == ["evaluation.json", "losses.parquet", "predictions", "samples.parquet"]
    rows = pd.read_parquet(folder / "predictions" / "dense.parquet")
    assert len(rows) == 2 * count
    assert set(rows["fold"]) == {fold.name for fold in case.folds}
    samples = pd.read_parquet(folder / "samples.parquet")
    both = rows.merge(samples, on=["entity", "time"])
    target = np.where(both["horizon"] == 1, both["target_1"], both["target_2"])
    np.testing.assert_allclose(both["actual"], both["origin"] * np.exp(target), rtol=1e-6)


def test_the_same_predictions_are_evaluated_once(case: Case, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    written = (Path(evaluation.folder) / "losses.parquet").stat().st_mtime_ns
    replace_everywhere(monkeypatch, "finflow.pipelines.evaluation.comparisons.compare_all", lambda *a, **k: pytest.fail("evaluated again"))
    assert case.evaluate() == evaluation
    assert (Path(evaluation.folder) / "losses.parquet").stat().st_mtime_ns == written


def test_other_predictions_replace_what_was_there(case: Case, tmp_path: Path) -> None:
    target = tmp_path / "run"
    left_by_a_killed_process(target).mkdir()
    first = case.evaluate(folder=target)
    changed = case.predictions()
    for fold, test in case.tests.items():
        changed["dense"][fold][1] = (test, case.prediction(test, 0.0, 0.01, 5))
    second = case.evaluate(changed, folder=target)
    assert entry(second, "dense").seed_losses != entry(first, "dense").seed_losses
    assert read_evaluation(target) == second
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_new_home_and_a_new_process_give_the_same_bits(case: Case, evaluation: Evaluation, tmp_path: Path) -> None:
    other = case.evaluate(folder=tmp_path / "elsewhere")
    assert (other.candidates, other.spa_p) == (evaluation.candidates, evaluation.spa_p)
    for name in ("losses.parquet", "samples.parquet", "predictions/dense.parquet"):
        assert (tmp_path / "elsewhere" / name).read_bytes() == (Path(evaluation.folder) / name).read_bytes()


def test_positions_in_another_order_change_nothing(case: Case, evaluation: Evaluation, tmp_path: Path) -> None:
    shuffled = case.predictions()
    for by_fold, fold in itertools.product(shuffled.values(), case.tests):
        for seed, (positions, prediction) in by_fold[fold].items():
            order = np.random.default_rng(1).permutation(len(positions))
            by_fold[fold][seed] = (positions[order], prediction.take(order))
    assert case.evaluate(shuffled, folder=tmp_path / "run").candidates == evaluation.candidates


def test_a_prediction_that_is_not_finite_is_invalid_and_named(case: Case, tmp_path: Path) -> None:
    made = case.predictions()
    fold = case.folds[0].name
    made["dense"][fold][2][1].values[3, 0, 2] = np.nan
    found = case.evaluate(made, folder=tmp_path / "run")
    dense = entry(found, "dense")
    assert dense.invalid.startswith("1 of ")
    assert "seed 2" in dense.invalid
    assert dense.adjusted_p == 1.0
    assert dense.confidence_p is None
    assert entry(found, "ridge").confidence_p == 1.0
    assert found.spa_p is None, "no valid candidate is left"
    assert {one.p_value for one in dense.comparisons} == {1.0}
    assert found.superior == ()
    assert found.candidates[-1].candidate == "dense"
    assert read_evaluation(tmp_path / "run") == found
    made["random-walk"][fold][0][1].values[0, 0, 0] = np.inf
    with pytest.raises(FitError, match="the reference random-walk"):
        case.evaluate(made, folder=tmp_path / "other")


def test_a_candidate_that_failed_is_listed_with_its_reason(case: Case, tmp_path: Path) -> None:
    made = case.predictions()
    del made["dense"]
    found = case.evaluate(made, folder=tmp_path / "run", failed={"dense": "fold 2016-07, seed 2: the process was lost"})
    dense = entry(found, "dense")
    assert (dense.invalid, dense.seeds, dense.metrics, dense.comparisons) == ("fold 2016-07, seed 2: the process was lost", 0, (), ())
    assert found.superior == ()


def test_predictions_of_other_samples_are_refused(case: Case, tmp_path: Path) -> None:
    fold = case.folds[0].name
    test = case.tests[fold]
    fewer = case.predictions()
    fewer["ridge"][fold] = {0: (test[:-1], case.prediction(test[:-1], 0.0))}
    with pytest.raises(FitError, match=f"fold {fold}: .* other test samples"):
        case.evaluate(fewer, folder=tmp_path / "run")
    missing = case.predictions()
    del missing["ridge"][fold]
    with pytest.raises(FitError, match=f"ridge has no prediction for fold {fold}"):
        case.evaluate(missing, folder=tmp_path / "run")
    seeds = case.predictions()
    del seeds["dense"][fold][2]
    with pytest.raises(FitError, match="seeds"):
        case.evaluate(seeds, folder=tmp_path / "run")
    with pytest.raises(FitError, match="stranger"):
        case.evaluate({**case.predictions(), "stranger": case.predictions()["ridge"]}, folder=tmp_path / "run")
    with pytest.raises(NotEnoughHistoryError):
        case.evaluate(folds=(), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_the_problem_does_not_have(tmp_path: Path) -> None:
    case = Case(tmp_path, gate={"loss": "sharpe"})
    with pytest.raises(DefinitionError, match=r"sharpe.*crps, mae, mse"):
        case.evaluate()


def test_the_champions_recipe_is_compared_by_all(case: Case, tmp_path: Path) -> None:
    recipes = {**case.definition.recipes, "champion": case.definition.recipes["dense"].model_copy(update={"settings": {"hidden": [4]}})}
    made = case.predictions()
    made["champion"] = {fold: {3: (test, case.prediction(test, 0.1, 0.001, 9))} for fold, test in case.tests.items()}
    found = case.evaluate(made, folder=tmp_path / "run", recipes=recipes, champion="champion")
    assert entry(found, "dense").must_beat == ("random-walk", "ridge", "champion")
    assert {one.against for one in entry(found, "ridge").comparisons} == {"random-walk", "champion"}
    assert entry(found, "ridge").must_beat == ("random-walk", "champion")
    assert entry(found, "champion").must_beat == ()


def test_no_evaluation_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="holds no evaluation"):
        read_evaluation(tmp_path)


def test_date_losses(case: Case) -> None:
    fold = case.folds[0].name
    samples = case.samples.take(case.tests[fold])
    found = date_losses(case.problem, "mae", case.prediction(case.tests[fold], 0.0), samples)
    assert found.index.is_monotonic_increasing
    first = samples.index.time == found.index[0].to_numpy()
    assert found.iloc[0] == pytest.approx(float(np.abs(samples.index.target[first]).mean()), rel=1e-6)
