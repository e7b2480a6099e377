"""A trial from its source to its report: nothing of the test part enters, nothing is decided, and it is told apart from trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.flows.interface.frames import evaluation_of
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import Evaluation
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.fits.fits import carry_out_all
from finflow.pipelines.fits.needs import TRIAL, read_needs
from finflow.pipelines.operating.pruning.run import prune
from finflow.pipelines.samples.development import develop, open_development
from finflow.pipelines.samples.windows import store_samples
from finflow.pipelines.tracking.store import prepare_store, store_client
from finflow.pipelines.training.leaderboard import KEY, TAG
from finflow.pipelines.training.plan import plan_training
from finflow.pipelines.training.report import newest_report
from finflow.pipelines.training.trial import conclude_trial
from tests.support import tiny_values

FIRST_TEST = "2017-01-02"


def prices(seed: int = 1) -> pd.DataFrame:
    """Two random walks of three years, as a file of bars holds them."""
    days = pd.bdate_range("2015-01-05", "2017-12-29")
    rng, parts = np.random.default_rng(seed), []
    for entity in ("a", "b"):
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(days))))
        bars = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1000.0}
        parts.append(pd.DataFrame({"entity": entity, "time": days, **bars}))
    return pd.concat(parts, ignore_index=True)


def changed_from(frame: pd.DataFrame, date: str) -> pd.DataFrame:
    """The same file with other values from a date on."""
    later = frame["time"] >= date
    factor = np.where(later, np.exp(np.random.default_rng(9).normal(0, 0.05, len(frame))), 1.0)
    columns = ["open", "high", "low", "close"]
    return frame.assign(**{name: frame[name] * factor for name in columns}, volume=np.where(later, 7.0, frame["volume"]))


def context_of(home: Home, path: Path, frame: pd.DataFrame) -> Context:
    frame.to_csv(path, index=False)
    values: dict[str, Any] = tiny_values(
        source={"kind": "csv", "path": str(path)},
        calendar=None,
        simulated=False,
        folds={"first_test": FIRST_TEST, "months": 6, "validation_months": 3, "embargo": 2},
    )
    prepare_store(home)
    return open_context(parse_definition(values), home)


def tried(context: Context) -> tuple[Evaluation, dict[str, Any]]:
    """What the flow does, without Prefect."""
    raw = ingest(context)
    allowed = open_development(context, raw, None)
    samples = store_samples(context, validate(context, raw, pd.Timestamp(allowed.as_of)))
    trial = develop(context, samples, allowed)
    plan = plan_training(trial, samples, candidates=["dense"], kind=TRIAL)
    return conclude_trial(trial, plan, allowed, carry_out_all(plan.specs, context.home))


def left(evaluation: Evaluation) -> dict[str, bytes]:
    """Every file of the evaluation, plots too, but for the one that names its folder."""
    folder = Path(evaluation.folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.suffix in (".parquet", ".csv", ".svg")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, Evaluation, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("trial")
    home = Home(folder / "home", str(folder / "home/lake"), f"sqlite:///{folder / 'home/mlflow/mlflow.db'}", None)
    context = context_of(home, folder / "prices.csv", prices())
    return context, *tried(context)


def test_the_test_part_may_hold_anything_and_a_trial_is_the_same_to_the_bit(
    made: tuple[Context, Evaluation, dict[str, Any]], tmp_path: Path, home: Home
) -> None:
    _, first, outcome = made
    context = context_of(home, tmp_path / "prices.csv", changed_from(prices(), FIRST_TEST))
    second, again = tried(context)
    assert (first.first_date, first.last_date) == ("2016-01-04", "2016-12-23")
    assert left(second) == left(first)
    assert again["leaderboard"] == outcome["leaderboard"]
    assert again["data"]["digest"] == outcome["data"]["digest"]
    assert Path(again["report"]).name == Path(outcome["report"]).name
    earlier = changed_from(prices(), "2016-12-01")
    assert left(tried(context_of(home, tmp_path / "prices.csv", earlier))[0]) == left(first), "restated after the fact: it was not known"


def test_what_lies_before_the_test_part_does_enter(made: tuple[Context, Evaluation, dict[str, Any]], tmp_path: Path, home: Home) -> None:
    second, _ = tried(context_of(home, tmp_path / "prices.csv", changed_from(prices(), "2016-12-01")))
    assert second.run_key != made[1].run_key
    assert left(second) != left(made[1])


def test_nothing_is_decided_and_nothing_is_registered(made: tuple[Context, Evaluation, dict[str, Any]]) -> None:
    context, _, outcome = made
    client = store_client(context.home)
    assert context.promotions.rows() == []
    assert list(client.search_registered_models()) == []
    assert "decision" not in outcome
    assert not context.home.evaluations.exists()
    with pytest.raises(FinflowError, match="There is no report of tiny yet"):
        newest_report(context)
    with pytest.raises(FinflowError, match="No decision has been made for tiny"):
        evaluation_of(context)


def test_its_runs_are_tagged_and_ended_and_leave_the_view_of_trainings_alone(made: tuple[Context, Evaluation, dict[str, Any]]) -> None:
    context, evaluation, outcome = made
    client = store_client(context.home)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], filter_string="tags.`finflow.kind` = 'trial'")
    assert sorted(str(run.info.run_name) for run in runs) == ["dense", "random-walk", "ridge", "try as of 2016-12-28"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert client.search_runs([experiment.experiment_id], filter_string="tags.`finflow.kind` = 'training'") == []
    assert f"{TAG}{TRIAL}" in experiment.tags
    assert f"{TAG}{KEY}" not in experiment.tags
    parent = client.get_run(outcome["run_id"])
    assert parent.data.tags["finflow.run_key"] == evaluation.run_key
    assert "promoted" not in parent.data.metrics
    assert "Trial on development folds: nothing is decided" in parent.data.tags["mlflow.note.content"]


def test_its_report_says_what_it_is(made: tuple[Context, Evaluation, dict[str, Any]]) -> None:
    text = Path(made[2]["report"]).with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith(
        "# A tiny simulated series\n\n> **Trial on development folds: nothing is decided.** Rows, corrections and labels are as they were "
        "known by 2016-12-28; of the test part, which begins on 2017-01-02 (folds.first_test), no outcome was read. Who is chosen here for "
        "its figures has better ones than it deserves: after choosing, p-values and intervals are optimistic. `finflow train tiny` "
        "decides, on the test part.\n"
    )
    assert "2 development folds before 2017-01-02, as many as the test part has periods." in text
    assert "Test periods: 2016-01-02 to 2016-07-01, 2016-07-02 to 2017-01-01." in text


def test_the_same_again_fits_nothing_and_logs_nothing(made: tuple[Context, Evaluation, dict[str, Any]]) -> None:
    context, _, outcome = made
    before = len(store_client(context.home).search_runs([store_client(context.home).get_run(outcome["run_id"]).info.experiment_id]))
    _, again = tried(context)
    assert (outcome["fitted"], again["fitted"], again["run_id"]) == (8, 0, outcome["run_id"])
    assert len(store_client(context.home).search_runs([store_client(context.home).get_run(outcome["run_id"]).info.experiment_id])) == before


def test_what_it_needs_is_recorded_and_stays_as_long_as_the_rule_says(made: tuple[Context, Evaluation, dict[str, Any]]) -> None:
    context, evaluation, _ = made
    (needs,) = read_needs(context.home)
    assert (needs.kind, needs.run_key, len(needs.fits)) == (TRIAL, evaluation.run_key, 8)
    later = (pd.Timestamp.now("UTC") + pd.Timedelta(days=3)).isoformat()
    assert prune(context.home, "20-runs", False, now=later).freed == ()
    freed = {one.kind: one.count for one in prune(context.home, "1d", False, now=later).freed}
    assert (freed["evaluations"], freed["run artifacts"], freed["records of runs"]) == (1, 4, 1)
    assert freed["fits"] >= 8
