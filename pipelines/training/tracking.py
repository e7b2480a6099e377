"""A training in MLflow: one parent run, one child run a candidate, the same names in all families, written in batches.

Everything is found again by its run key, so that the same run logged twice, or after a crash, is there once. A run is ended last: one
that still runs is logged again, and MLflow takes what it has already (same name, step, instant and value) as one.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finflow.pipelines.core.code import code_version
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, FitResult, Manifest, SampleManifest
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.fits.fits import read_report
from finflow.pipelines.tracking.patience import once
from finflow.pipelines.tracking.store import experiment_of, prepare_store, store_client
from finflow.pipelines.training.leaderboard import share_leaderboard
from finflow.pipelines.training.records import candidate_metrics, candidate_params, chunks, dataset_input, not_finite, scalars

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from finflow.pipelines.lake.promotions import PromotionRow

__all__ = ["LoggedTraining", "log_decision", "log_training", "prepare_store"]

_OPEN = ("RUNNING", "SCHEDULED")


@dataclass(frozen=True)
class LoggedTraining(Manifest):
    """The runs of a training: the parent's id, the children's by candidate, and the plots by caption (files that last)."""

    run_id: str
    children: dict[str, str]
    plots: dict[str, str]


def log_training(
    context: Context,
    evaluation: Evaluation,
    fits: Sequence[FitResult],
    samples: SampleManifest,
    *,
    tags: Mapping[str, str] | None = None,
) -> LoggedTraining:
    """Log a training's evaluation: runs, parameters, metrics, inputs, plots, predictions, Data Docs. What is logged already stays as it is.

    The parent run is left open for `log_decision`.

    Args:
        fits: the fits of every candidate on every fold.
        tags: further tags of every run (a Prefect flow run's id, say).
    """
    with _one_at_a_time(context.home):
        return _log(store_client(context.home), context, evaluation, fits, samples, tags or {})


def _log(
    client: MlflowClient,
    context: Context,
    evaluation: Evaluation,
    fits: Sequence[FitResult],
    samples: SampleManifest,
    tags: Mapping[str, str],
) -> LoggedTraining:
    definition = context.definition
    experiment = experiment_of(context.home, client, definition.name)
    common = _common_tags(definition, evaluation, samples, tags)
    parent = _run(client, experiment, evaluation, "parent", f"train as of {evaluation.as_of[:10]}", common)
    plots = _draw(evaluation, fits)
    children = {}
    for entry in evaluation.candidates:
        child = _child(client, experiment, evaluation, entry, parent.info.run_id, common)
        children[entry.candidate] = child.info.run_id
        if child.info.status in _OPEN:
            mine = [fit for fit in fits if fit.candidate == entry.candidate]
            _log_child(client, child, definition, evaluation, entry, mine, samples)
    if parent.info.status in _OPEN:
        _log_parent(client, parent, definition, evaluation, samples)
    return LoggedTraining(parent.info.run_id, children, {caption: str(path) for caption, path in plots.items()})


def log_decision(home: Home, logged: LoggedTraining, row: PromotionRow, champion: PromotionRow | None, report: Path) -> None:
    """Close the parent run with its decision: tags, the report as its note and as files. Done once.

    Args:
        row: the recorded decision.
        champion: the row of who was champion after it.
        report: the HTML file of `write_report`; the Markdown beside it becomes the note.
    """
    with _one_at_a_time(home):
        client = store_client(home)
        run = client.get_run(logged.run_id)
        if run.info.status in _OPEN:
            _close(client, run, row, champion, report)


def _close(client: MlflowClient, run: Run, row: PromotionRow, champion: PromotionRow | None, report: Path) -> None:
    from mlflow.entities import Metric, RunTag

    run_id = run.info.run_id
    text = report.with_suffix(".md").read_text(encoding="utf-8")
    client.log_artifact(run_id, str(report), "report")
    client.log_artifact(run_id, str(report.with_suffix(".md")), "report")
    tags = {
        "finflow.verdict": row.verdict,
        "finflow.champion": "" if champion is None else champion.candidate,
        "finflow.champion_version": "" if champion is None else str(champion.version),
        "finflow.reason": row.reason[:5000],
        "mlflow.note.content": text[:8000],
    }
    promoted = Metric("promoted", float(row.moves), run.info.start_time, 0)
    client.log_batch(run_id, metrics=[promoted], tags=[RunTag(key, value) for key, value in tags.items()])
    client.set_terminated(run_id, "FINISHED")


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    """Trainings of a home log one after the other: what is found by its tags is then there once."""
    from filelock import FileLock

    home.mlflow.mkdir(parents=True, exist_ok=True)
    with FileLock(home.mlflow / "tracking.lock"):
        yield


def _common_tags(definition: Definition, evaluation: Evaluation, samples: SampleManifest, further: Mapping[str, str]) -> dict[str, str]:
    return {
        "finflow.run_key": evaluation.run_key,
        "finflow.definition": definition.name,
        "finflow.as_of": evaluation.as_of,
        "finflow.data_version": f"{samples.clean.table}@{samples.clean.version}",
        "finflow.data_digest": samples.clean.digest,
        "finflow.code_version": code_version(),
        "finflow.folds": str(len(evaluation.folds)),
        "finflow.simulated": str(definition.simulated).lower(),
        "mlflow.source.name": "finflow",
        "mlflow.user": "finflow",
        **{key: str(value)[:5000] for key, value in further.items()},
    }


def _child(
    client: MlflowClient, experiment: str, evaluation: Evaluation, entry: CandidateEvaluation, parent: str, common: Mapping[str, str]
) -> Run:
    tags = {
        **common,
        "mlflow.parentRunId": parent,
        "finflow.candidate": entry.candidate,
        "finflow.family": entry.family,
        "finflow.baseline": str(entry.baseline).lower(),
        "finflow.seeds": str(entry.seeds),
    }
    return _run(client, experiment, evaluation, entry.candidate, entry.candidate, tags)


def _run(client: MlflowClient, experiment: str, evaluation: Evaluation, role: str, name: str, tags: Mapping[str, str]) -> Run:
    """The run of that role in this training: found by its tags, else made; one, also where the answer to its making was lost."""
    query = f"tags.`finflow.run_key` = '{evaluation.run_key}' and tags.`finflow.role` = '{role}'"
    return once(
        find=lambda: client.search_runs([experiment], filter_string=query, max_results=10, order_by=["attributes.start_time ASC"]),
        make=lambda: client.create_run(experiment, tags={**tags, "finflow.role": role}, run_name=name),
        drop=lambda extra: client.delete_run(extra.info.run_id),
    )


def _log_child(
    client: MlflowClient,
    run: Run,
    definition: Definition,
    evaluation: Evaluation,
    entry: CandidateEvaluation,
    fits: Sequence[FitResult],
    samples: SampleManifest,
) -> None:
    from mlflow.entities import RunTag

    run_id, moment = run.info.run_id, run.info.start_time
    reports = [(fit, read_report(fit)) for fit in fits]
    params = candidate_params(definition, entry, reports)
    tags = [RunTag("mlflow.note.content", _note(evaluation, entry))]
    if entry.invalid:
        tags.append(RunTag("finflow.not_promotable", entry.invalid[:5000]))
    if not_finite(entry):
        tags.append(RunTag("finflow.not_finite", ", ".join(not_finite(entry))[:5000]))
    for number, metrics in enumerate(chunks(candidate_metrics(evaluation, entry, reports, moment), 900)):
        client.log_batch(run_id, metrics=metrics, params=params if number == 0 else (), tags=tags if number == 0 else ())
    client.log_inputs(run_id, [dataset_input(samples)])
    with tempfile.TemporaryDirectory(prefix="finflow-") as scratch:
        folder = Path(scratch)
        predictions = Path(evaluation.folder) / "predictions" / f"{entry.candidate}.parquet"
        if predictions.is_file():
            shutil.copyfile(predictions, folder / "predictions.parquet")
        drawn = Path(evaluation.folder) / "plots" / entry.candidate
        if drawn.is_dir():
            shutil.copytree(drawn, folder / "plots")
        client.log_artifacts(run_id, str(folder))
    client.set_terminated(run_id, "FAILED" if entry.invalid else "FINISHED")


def _log_parent(client: MlflowClient, run: Run, definition: Definition, evaluation: Evaluation, samples: SampleManifest) -> None:
    run_id = run.info.run_id
    share_leaderboard(client, run.info.experiment_id, evaluation)
    metrics, params = scalars(definition, evaluation, samples, run.info.start_time)
    client.log_batch(run_id, metrics=metrics, params=params)
    client.log_inputs(run_id, [dataset_input(samples)])
    with tempfile.TemporaryDirectory(prefix="finflow-") as scratch:
        folder = Path(scratch)
        (folder / "evaluation.json").write_text(json.dumps(evaluation.to_dict(), indent=1), encoding="utf-8")
        for drawn in (Path(evaluation.folder) / "plots").glob("*.svg"):  # of all candidates; each one's own are with its run
            shutil.copyfile(drawn, folder / drawn.name)
        tables = Path(evaluation.folder) / "tables"
        if tables.is_dir():
            shutil.copytree(tables, folder / "tables")
        if Path(samples.clean.folder).is_dir():
            shutil.copytree(samples.clean.folder, folder / "validation")
        client.log_artifacts(run_id, str(folder))


def _note(evaluation: Evaluation, entry: CandidateEvaluation) -> str:
    from finflow.pipelines.core.markdown import with_interval

    metric = next((metric for metric in entry.metrics if metric.name == evaluation.loss), None)
    trouble = f"\n\nNot promotable: {entry.invalid}" if entry.invalid else ""
    return f"{entry.candidate}: {evaluation.loss} {with_interval(metric)}. {evaluation.protocol}{trouble}"


def _draw(evaluation: Evaluation, fits: Sequence[FitResult]) -> dict[str, Path]:
    """The plots of a training beside its evaluation, by caption; those there are already are kept."""
    from finflow.pipelines.evaluation.plots.training import draw_training

    return draw_training(evaluation, {fit: read_report(fit) for fit in fits}, Path(evaluation.folder) / "plots")
