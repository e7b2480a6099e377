"""A training in MLflow: comparable at a look, there once however often it is logged."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.tracking.store import prepare_store, safe, store_client
from finflow.pipelines.training.report import write_report
from finflow.pipelines.training.tracking import LoggedTraining, log_decision, log_training
from tests.support.pipelines.training_support import Trained

ROW = PromotionRow(
    "run",
    "kept",
    "random-walk",
    "random walk",
    1,
    1,
    "2017-06-30T21:00:00+00:00",
    "No candidate beat every baseline: no skill over random-walk.",
    0.03,
    1,
)


def log(trained: Trained) -> LoggedTraining:
    return log_training(trained.context, trained.evaluation, trained.fits, trained.samples, tags={"prefect.flow_run_id": "abc"})


def decide(trained: Trained, logged: LoggedTraining) -> Path:
    plots = {caption: Path(path) for caption, path in logged.plots.items()}
    report = write_report(trained.context, trained.evaluation, ROW, ROW, trained.samples, plots=plots)
    log_decision(trained.home, logged, ROW, ROW, report)
    return report


def picture(trained: Trained) -> dict[str, Any]:
    """Everything that is logged, but for the instants of ending."""
    client = store_client(trained.home)
    experiment = client.get_experiment_by_name(trained.definition.name)
    assert experiment is not None
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        histories = {
            name: [(p.step, p.value, p.timestamp) for p in client.get_metric_history(run.info.run_id, name)] for name in run.data.metrics
        }
        found[run.info.run_id] = (
            run.info.run_name,
            run.info.status,
            run.data.params,
            run.data.tags,
            histories,
            _files(client, run.info.run_id),
        )
    return found


def _files(client: Any, run_id: str, path: str | None = None) -> list[str]:
    found = []
    for item in client.list_artifacts(run_id, path):
        found += _files(client, run_id, item.path) if item.is_dir else [item.path]
    return sorted(found)


def test_one_parent_and_one_child_a_candidate_with_the_same_names(trained: Trained) -> None:
    logged = log(trained)
    decide(trained, logged)
    client = store_client(trained.home)
    children = {name: client.get_run(run_id) for name, run_id in logged.children.items()}
    assert sorted(children) == ["noisy", "random-walk", "ridge"]
    shared = set.intersection(*({*run.data.metrics} for run in children.values()))
    assert {"mae", "mae.low", "mae.high", "mse", "rmse", "mase", "crps", "directional_accuracy", "fold_mae", "fit_seconds"} <= shared
    common = {"model", "family", "baseline", "window_length", "horizon", "seeds", "embargo", "fitted_parameters"}
    assert all(common <= set(run.data.params) for run in children.values())
    for name, run in children.items():
        entry = next(entry for entry in trained.evaluation.candidates if entry.candidate == name)
        assert run.data.metrics["mae"] == next(metric.value for metric in entry.metrics if metric.name == "mae")
        assert run.data.metrics["confidence_p"] == entry.confidence_p
        assert run.data.tags["mlflow.parentRunId"] == logged.run_id
        assert run.data.tags["finflow.baseline"] == str(name != "noisy").lower()
        assert run.info.status == "FINISHED"
        (data,) = run.inputs.dataset_inputs
        assert (data.dataset.name, data.dataset.digest) == ("clean/tiny", "samples")
    assert client.get_run(logged.run_id).data.metrics["spa_p"] == trained.evaluation.spa_p
    wanted = {
        "finflow.as_of",
        "finflow.data_version",
        "finflow.data_digest",
        "finflow.code_version",
        "finflow.folds",
        "prefect.flow_run_id",
    }
    assert all(wanted <= set(run.data.tags) for run in children.values())
    curve = client.get_metric_history(logged.children["noisy"], "validation_loss/2016-07/seed_1")
    assert [(point.step, point.value) for point in curve] == [(0, 1.1), (1, 1.1 / 2), (2, 1.1 / 3)]
    assert [point.step for point in client.get_metric_history(logged.children["ridge"], "fold_mae")] == [0, 1]


def test_what_is_attached(trained: Trained, tmp_path: Path) -> None:
    shutil.rmtree(Path(trained.evaluation.folder) / "plots")
    logged = log(trained)
    report = decide(trained, logged)
    client = store_client(trained.home)
    plots = ["plots/coverage.svg", "plots/forecasts.svg", "plots/losses.svg", "plots/skill.svg"]
    assert _files(client, logged.children["noisy"]) == [*plots, "predictions.parquet"]
    assert _files(client, logged.children["random-walk"]) == ["plots/coverage.svg", "plots/forecasts.svg", "predictions.parquet"]
    files = _files(client, logged.run_id)
    assert {"evaluation.json", "leaderboard.svg", f"report/{report.name}", f"report/{report.stem}.md"} <= set(files)
    assert any(name.startswith("validation/") for name in files), "the Data Docs page"
    rows = pd.read_parquet(client.download_artifacts(logged.children["ridge"], "predictions.parquet", str(tmp_path)))
    assert {"entity", "time", "target_time", "horizon", "q05", "q50", "fold", "actual"} <= set(rows.columns)
    assert json.loads(Path(client.download_artifacts(logged.run_id, "evaluation.json", str(tmp_path))).read_text())["run_key"] == "run"
    parent = client.get_run(logged.run_id)
    assert parent.data.tags["mlflow.note.content"] == report.with_suffix(".md").read_text()
    assert "no skill over random-walk" in parent.data.tags["mlflow.note.content"]
    assert (parent.info.status, parent.data.tags["finflow.verdict"]) == ("FINISHED", "kept")


def test_logging_again_changes_nothing(trained: Trained) -> None:
    decide(trained, log(trained))
    before = picture(trained)
    decide(trained, log(trained))
    assert picture(trained) == before


@pytest.mark.parametrize("killed_at", ["create_run", "log_batch", "log_inputs", "log_artifacts", "set_terminated", "log_artifact"])
@pytest.mark.parametrize("call", [1, 2])
def test_logging_cut_short_ends_as_if_it_had_not_been(trained: Trained, killed_at: str, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    original, calls = getattr(mlflow.MlflowClient, killed_at), []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, killed_at, counted)
        with pytest.raises(KeyboardInterrupt):
            decide(trained, log(trained))
    decide(trained, log(trained))
    runs = picture(trained)
    assert sorted(name for name, *_ in runs.values()) == ["noisy", "random-walk", "ridge", "train as of 2017-04-21"]
    assert {status for _, status, *_ in runs.values()} == {"FINISHED"}
    for _, _, _, _, histories, _ in runs.values():
        for name, points in histories.items():
            assert len({step for step, *_ in points}) == len(points), f"{name} was logged twice"


def test_an_invalid_candidate_is_logged_as_failed_and_says_why(trained: Trained) -> None:
    entries = [
        replace(entry, invalid="3 losses are not finite", metrics=()) if entry.candidate == "noisy" else entry
        for entry in trained.evaluation.candidates
    ]
    logged = log(replace(trained, evaluation=replace(trained.evaluation, candidates=tuple(entries))))
    run = store_client(trained.home).get_run(logged.children["noisy"])
    assert run.info.status == "FAILED"
    assert "Not promotable: 3 losses are not finite" in run.data.tags["mlflow.note.content"]
    assert run.data.tags["finflow.not_promotable"] == "3 losses are not finite"


def test_what_is_not_finite_is_a_tag_and_never_a_number(trained: Trained) -> None:
    """MLflow keeps infinity as 1.8e308, and would give that back as if it had been measured."""
    broken = {"mae": math.inf, "crps": -math.inf, "coverage_90": math.nan}
    entries = []
    for entry in trained.evaluation.candidates:
        metrics = [replace(one, value=broken.get(one.name, one.value), high=math.inf) for one in entry.metrics]
        entries.append(replace(entry, metrics=tuple(metrics)) if entry.candidate == "noisy" else entry)
    logged = log(replace(trained, evaluation=replace(trained.evaluation, candidates=tuple(entries))))
    run = store_client(trained.home).get_run(logged.children["noisy"])
    there = {metric.name for metric in trained.evaluation.candidates[0].metrics}
    assert set(broken) <= there
    assert not set(broken) & set(run.data.metrics)
    assert not {f"{name}.high" for name in there} & set(run.data.metrics)
    assert there - set(broken) <= set(run.data.metrics), "the others are there"
    assert all(abs(value) < 1e300 for value in run.data.metrics.values())
    assert set(run.data.tags["finflow.not_finite"].split(", ")) == set(broken)
    assert "finflow.not_finite" not in store_client(trained.home).get_run(logged.children["ridge"]).data.tags


def test_batches_are_few(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    original, calls = mlflow.MlflowClient.log_batch, []
    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", lambda *a, **n: (calls.append(1), original(*a, **n))[1])
    log(trained)
    assert len(calls) == 1 + len(trained.evaluation.candidates)


def test_the_store_is_made_once_and_whole(trained: Trained) -> None:
    database = trained.home.mlflow / "mlflow.db"
    written = database.stat().st_mtime_ns
    prepare_store(trained.home)
    assert database.stat().st_mtime_ns == written
    assert not list(database.parent.glob(".*.part*"))


def test_nothing_is_written_outside_the_home(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "working"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    decide(trained, log(trained))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"), [("coverage 90 %", "coverage 90 _"), ("损失", "损失"), ("a" * 300, "a" * 250), ("x\ny", "x_y")]
)
def test_names_that_mlflow_takes(name: str, expected: str) -> None:
    assert safe(name) == expected
