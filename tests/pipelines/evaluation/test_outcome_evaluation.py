"""The evaluation of made-up probabilities on real rows: tables, report, plots and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from finflow.models.base import Prediction
from finflow.models.rows.categories import category_code
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.core.manifests import CleanManifest, Evaluation, RawManifest, SampleManifest
from finflow.pipelines.definitions.definition import Definition, parse_definition, problem_of
from finflow.pipelines.evaluation.evaluation import evaluate
from finflow.pipelines.evaluation.inputs import EvaluationRequest
from finflow.pipelines.evaluation.plots.training import draw_training
from finflow.pipelines.evaluation.store import read_evaluation, read_tables
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.problems.outcome_tables import difference_of_draws
from finflow.pipelines.samples.folds import make_folds, select
from finflow.pipelines.samples.windows import build_samples
from finflow.pipelines.statistics.stability import stability_index
from finflow.pipelines.training.gate import History, decide
from finflow.pipelines.training.report import report_text
from tests.support.pipelines.outcome_models import MODELS
from tests.support.row_support import loan_rows, loan_values

AS_OF = pd.Timestamp("2021-12-31T22:00:00", tz="UTC")


class Case:
    """Loans, and forecasts that are nearly what outcomes were drawn by (`good`), half of that in log odds (`weak`), a constant, and NaN."""

    def __init__(self, folder: Path, frame: pd.DataFrame | None = None, problem: dict[str, Any] | None = None, **changes: Any) -> None:
        frame = loan_rows(4000) if frame is None else frame
        values = loan_values(folder / "none.csv", **{**MODELS, **changes})
        values["problem"] = {**values["problem"], "stake": "amount", "top_a_day": [1, 2], **(problem or {})}
        self.definition: Definition = parse_definition(values)
        self.problem, self.folder = problem_of(self.definition), folder
        self.samples = build_samples(self.definition, frame, AS_OF)
        self.folds = make_folds(self.definition, self.samples.index, AS_OF)
        self.chance = frame["chance"].to_numpy()[self.samples.index.row]

    def prediction(self, positions: Any, name: str) -> Prediction:
        logit = np.log(self.chance[positions] / (1 - self.chance[positions]))
        noise = np.random.default_rng(7).normal(size=len(self.chance))[positions]
        found = {"good": logit + 0.3 * noise, "weak": 0.5 * logit + noise, "base-rate": np.full(len(logit), -1.0), "broken": logit * np.nan}
        probability = 1 / (1 + np.exp(-found[name]))
        return Prediction("probabilities", np.column_stack([1 - probability, probability]).astype(np.float32))

    def evaluate(self, **named: Any) -> Evaluation:
        tests = {fold.name: select(fold, self.samples.index, 0).test for fold in self.folds}
        made = {
            name: {fold: {0: (test, self.prediction(test, name))} for fold, test in tests.items()}
            for name in ("good", "broken", "base-rate", "weak")
        }
        arguments: dict[str, Any] = {"folder": self.folder / "run", "replications": 199, **named}
        request = EvaluationRequest(
            definition=self.definition,
            problem=self.problem,
            samples=self.samples,
            folds=self.folds,
            predictions=made,
            recipes=self.definition.recipes,
            run_key="run",
            as_of=AS_OF.isoformat(),
            level=self.definition.gate.level,
            **arguments,
        )
        return evaluate(request)

    def of(self, name: str) -> tuple[Any, Any, Any]:
        """Positions, probabilities and outcomes of all test samples, fold after fold."""
        positions = np.concatenate([select(fold, self.samples.index, 0).test for fold in self.folds])
        return positions, self.prediction(positions, name).values[:, 1].astype(np.float64), self.samples.index.target[positions, 0]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("outcome"))


@pytest.fixture(scope="module")
def evaluation(case: Case) -> Evaluation:
    return case.evaluate()


def report_of(case: Case, evaluation: Evaluation) -> str:
    clean = CleanManifest("clean/loans", 0, "2021-12-31T22:00:00+00:00", "d", 4000, 4000, 0, (), "", RawManifest("r", 0, 0, 1, "", ""))
    row = PromotionRow("run", "promoted", "good", "class", 1, None, AS_OF.isoformat(), "good is better.", 0.03, 1)
    return report_text(case.definition, evaluation, row, row, SampleManifest("", "s", 4000, 4000, 3900, (), {}, clean))


def test_the_leaderboard_has_what_scikit_learn_says(case: Case, evaluation: Evaluation) -> None:
    (entry,) = [one for one in evaluation.candidates if one.candidate == "good"]
    found = {metric.name: metric for metric in entry.metrics}
    _, probability, came = case.of("good")
    assert found["auc"].value == pytest.approx(metrics.roc_auc_score(came, probability))
    assert found["average_precision"].value == pytest.approx(metrics.average_precision_score(came, probability))
    for name in ("auc", "ks", "precision_top_1", "recall_top_2", "brier_skill", "calibration_slope", "cost_saved", "log_loss"):
        metric = found[name]
        assert metric.value is not None
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low < metric.value < metric.high, name
    constant = {metric.name: metric for metric in next(one for one in evaluation.candidates if one.candidate == "base-rate").metrics}
    assert (constant["auc"].value, constant["calibration_slope"].value) == (0.5, None)
    assert read_evaluation(evaluation.folder) == evaluation


def test_differences_are_between_candidates_on_the_same_rows(case: Case, evaluation: Evaluation) -> None:
    table = read_tables(evaluation)["differences"]
    assert set(table["candidate"]) == {"good", "weak"}, "what cannot be compared is left out"
    assert set(table["role"]) == {"reference"}
    _, probability, came = case.of("weak")
    weak = table[(table["candidate"] == "weak") & (table["metric"] == "auc")].set_index("method")
    assert set(weak.index) == {"DeLong", "paired bootstrap of dates"}
    expected = metrics.roc_auc_score(came, probability) - 0.5
    for _, row in weak.iterrows():
        assert row["value"] == pytest.approx(expected)
        assert row["low"] < expected < row["high"]
    # rows of a date have nothing in common here, so that both say the same
    assert weak.loc["DeLong", "high"] - weak.loc["DeLong", "low"] == pytest.approx(weak.iloc[1]["high"] - weak.iloc[1]["low"], rel=0.2)
    assert pd.read_csv(Path(evaluation.folder) / "tables" / "differences.csv").shape == table.shape


def test_the_champion_is_one_to_be_held_against(tmp_path: Path) -> None:
    table = read_tables(Case(tmp_path).evaluate(champion="weak"))["differences"]
    mine = table[(table["role"] == "champion") & (table["metric"] == "log_loss")].set_index("candidate")
    assert list(mine.index) == ["good", "base-rate"]
    assert set(mine["against"]) == {"weak"}
    assert mine.loc["good", "high"] < 0
    assert mine.loc["good", "p_value"] == pytest.approx(2 / 1001), "no draw of a thousand is on the other side"
    again = read_tables(Case(tmp_path).evaluate(champion="base-rate", folder=tmp_path / "again"))["differences"]
    assert set(again["role"]) == {"reference"}, "the champion is the reference"


def test_p_values_are_two_sided_parts_of_the_draws() -> None:
    drawn = np.arange(-3.0, 97.0)  # of a hundred, four are at most 0
    found = difference_of_draws((5.0, drawn + 1.0), (3.0, np.ones(100)))
    assert (found["value"], found["p_value"]) == (2.0, pytest.approx(2 * 5 / 101))
    assert found["low"] == pytest.approx(np.quantile(drawn, 0.025))
    assert difference_of_draws((3.0, np.ones(100)), (3.0, np.ones(100)))["p_value"] == 1.0
    assert difference_of_draws((3.0, None), (1.0, np.ones(100))) == {"value": 2.0}
    assert difference_of_draws((None, None), (1.0, np.ones(100))) == {}


def test_each_period_by_itself(case: Case, evaluation: Evaluation) -> None:
    table = read_tables(evaluation)["periods"].set_index(["candidate", "period"])
    for fold in case.folds:
        test = select(fold, case.samples.index, 0).test
        came, probability = case.samples.index.target[test, 0], case.prediction(test, "good").values[:, 1]
        row = table.loc[("good", fold.name)]
        assert row["auc"] == pytest.approx(metrics.roc_auc_score(came, probability))
        assert (row["rows"], row["positives"], row["note"]) == (len(test), came.sum(), "")


def test_a_period_of_one_class_says_so(tmp_path: Path) -> None:
    frame = loan_rows(4000)
    frame.loc[frame["time"] < "2021-07-01", "defaulted"] = np.where(frame["time"] < "2021-01-01", frame["defaulted"], 0.0)[
        frame["time"] < "2021-07-01"
    ]
    case = Case(tmp_path, frame)
    evaluation = case.evaluate()
    table = read_tables(evaluation)["periods"]
    alone = table[table["period"] == case.folds[0].name]
    assert alone["auc"].isna().all()
    assert set(alone["note"]) == {"one class alone came: nothing can be ranked"}
    assert f"{case.folds[0].name}: one class alone came" in report_of(case, evaluation)


def test_fairness_and_stability(case: Case, evaluation: Evaluation) -> None:
    tables = read_tables(evaluation)
    fairness = tables["fairness"]
    assert set(fairness["candidate"]) == {"good", "base-rate", "weak"}
    assert set(fairness["group"]) == {"f", "m"}
    positions, probability, came = case.of("good")
    index = case.samples.index.take(positions)
    mine = index.groups["sex"] == "f"
    flagged = probability >= 1 / (1 + 5 * index.origin)
    row = fairness[(fairness["candidate"] == "good") & (fairness["group"] == "f")].set_index("figure")
    assert row.loc["true_positive_rate", "value"] == pytest.approx(flagged[mine & (came == 1)].mean())
    assert row.loc["auc", "value"] == pytest.approx(metrics.roc_auc_score(came[mine], probability[mine]))
    stability = tables["stability"]
    assert set(stability["kind"]) == {"feature", "category", "score"}
    assert set(stability.loc[stability["kind"] == "score", "name"]) == {"good", "weak"}, "a constant has no distribution"
    assert set(stability.loc[stability["kind"] == "score", "period"]) == {case.folds[1].name}
    assert stability["psi"].max() < 0.1, "nothing drifts"
    parts = [case.prediction(select(fold, case.samples.index, 0).test, "good").values[:, 1] for fold in case.folds]
    (score,) = stability.loc[(stability["kind"] == "score") & (stability["name"] == "good"), "psi"]
    assert score == pytest.approx(stability_index(parts[0], parts[1])[0])
    missing = stability[(stability["name"] == "purpose")]["missing"]
    assert missing.between(0.02, 0.08).all()


@pytest.mark.parametrize("kind", ["feature", "category"])
def test_a_column_that_moves_is_found(tmp_path: Path, kind: str) -> None:
    frame = loan_rows(4000)
    late = frame["time"] >= "2021-07-01"
    if kind == "feature":
        frame.loc[late, "income"] *= 2
    else:
        frame.loc[late & (frame["purpose"] == "car"), "purpose"] = "boat"
        assert category_code("boat") != category_code("car")
    case = Case(tmp_path, frame)
    table = read_tables(case.evaluate())["stability"]
    worst = table.loc[table["psi"].idxmax()]
    assert (worst["kind"], worst["name"], worst["period"]) == (
        kind,
        "income" if kind == "feature" else "purpose",
        case.folds[1].name,
    )
    assert worst["psi"] > max(0.25, worst["chance"])


def test_the_report_shows_it_all(case: Case, evaluation: Evaluation) -> None:
    text = report_of(case, evaluation)
    for part in (
        "| candidate | against | auc, DeLong | auc, dates |",
        "## AUC, period by period",
        "## Calibration",
        "| base-rate | ",
        "no value",
        "## Costs",
        "precision_top_1",
        "## Fairness",
        "| sex (good) | rows | base_rate |",
        "## Stability",
        "| score good | - |",
        "| category purpose |",
    ):
        assert part in text, part
    assert "per session, not annualised" not in text
    assert "nan" not in text.replace("finance", "")


def test_plots_are_drawn(case: Case, evaluation: Evaluation, tmp_path: Path) -> None:
    plots = draw_training(evaluation, case.problem.plots, {}, tmp_path / "plots")
    assert set(plots) >= {"Calibration of every candidate", "Ranking", "Gains", "Costs", "Fairness", "Stability", "good: decisions"}
    for path in plots.values():
        text = path.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
        assert "nan" not in text
        assert "mathdefault" not in text
    drawn = plots["Calibration of every candidate"].read_text(encoding="utf-8")
    assert all(f"{name}, " in drawn for name in ("good", "weak", "base-rate"))


@pytest.mark.parametrize(
    ("limits", "verdict", "passed"),
    [({"equal_opportunity": 0.2}, "promoted", True), ({"equal_opportunity": 0.0}, "reference", False)],
)
def test_a_limit_blocks_promotion_with_its_reason(tmp_path: Path, limits: dict[str, float], verdict: str, passed: bool) -> None:
    case = Case(tmp_path, problem={"limits": limits})
    evaluation = case.evaluate()
    entry = evaluation.candidates[0]
    assert [check.name for check in entry.checks] == ["fairness_equal_opportunity"]
    assert entry.checks[0].passed is passed
    decision = decide(evaluation, case.definition.gate, None, History(challenges=0, new_dates=500))
    assert decision.verdict == verdict
    text = report_of(case, evaluation)
    assert "## Limits" in text
    if not passed:
        assert decision.candidate == "base-rate", "a constant flags both groups alike"
        assert "largest difference of the true positive rates, at most 0 is allowed: sex" in decision.reason


def test_without_protected_columns_there_are_no_groups_and_no_limits(tmp_path: Path) -> None:
    case = Case(tmp_path, problem={"protected": []})
    evaluation = case.evaluate()
    assert "fairness" not in read_tables(evaluation)
    assert "## Fairness" not in report_of(case, evaluation)
    with pytest.raises(DefinitionError, match="there are none: name columns under `protected`"):
        Case(tmp_path, problem={"protected": [], "limits": {"auc": 0.1}})
    with pytest.raises(DefinitionError, match="limits"):
        Case(tmp_path, problem={"limits": {"luck": 0.1}})


def test_splits_of_rows_without_a_time(tmp_path: Path) -> None:
    frame = loan_rows(900).assign(time=pd.Timestamp("2020-01-01"))
    case = Case(tmp_path, frame, {"top_a_day": []}, folds={"kind": "stratified", "parts": 3, "repeats": 2})
    evaluation = case.evaluate()
    tables = read_tables(evaluation)
    assert "stability" not in tables
    good = tables["differences"].query("candidate == 'good' and metric == 'auc'").set_index("method")
    assert set(good.index) == {"DeLong, clustered by entity", "corrected t over splits", "paired bootstrap of entities"}
    areas = tables["periods"].query("candidate == 'good'")["auc"]
    assert len(areas) == 6
    assert good.loc["corrected t over splits", "value"] == pytest.approx(areas.mean() - 0.5)
    assert "## AUC, split by split" in report_of(case, evaluation)
