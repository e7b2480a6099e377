"""A training, or a trial, in MLflow: one parent run, one child run a candidate, the same names in all families, written in batches.

Everything is found again by its run key and role (see `finflow.pipelines.tracking.runs`).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, FitResult, JsonRecord, SampleManifest
from finflow.pipelines.core.markdown import with_interval
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.evaluation.plots.training import draw_training
from finflow.pipelines.fits.fits import read_report
from finflow.pipelines.fits.needs import TRAINING, TRIAL
from finflow.pipelines.tracking.runs import common_tags, finite_metrics, is_open, one_writer, run_of, write_run
from finflow.pipelines.tracking.store import experiment_of, prepare_store
from finflow.pipelines.training.leaderboard import KEY, share_leaderboard
from finflow.pipelines.training.leaks import LEAKAGE
from finflow.pipelines.training.records import candidate_metrics, candidate_params, dataset_input, not_finite, scalars

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from finflow.pipelines.lake.promotions import PromotionRow
    from finflow.pipelines.problems.base import Problem

__all__ = ["LoggedTraining", "log_decision", "log_training", "log_trial_end", "prepare_store"]

#: tag of every run: training or trial (see `finflow.pipelines.fits.needs`)
KIND = "finflow.kind"
_LOOK_TAGS = {"before": "looks_before", "unseen": "dates_unseen", "sealed": "dates_sealed", "level_spent": "level_spent"}


@dataclass(frozen=True)
class LoggedTraining(JsonRecord):
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
    kind: str = TRAINING,
) -> LoggedTraining:
    """Log a training's evaluation: runs, parameters, metrics, inputs, plots, predictions, Data Docs. What is logged already stays as it is.

    The parent run is left open for `log_decision` (`log_trial_end`).

    Args:
        fits: the fits of every candidate on every fold.
        tags: further tags of every run (a Prefect flow run's id, say).
        kind: training or trial.
    """
    with one_writer(context.home) as client:
        return _log(client, context, evaluation, fits, samples, {**(tags or {}), KIND: kind})


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
    verb = "try" if tags[KIND] == TRIAL else "train"
    parent = _run(client, experiment, evaluation, "parent", f"{verb} as of {evaluation.as_of[:10]}", common)
    plots = _draw(context.problem, evaluation, fits)
    children = {}
    for entry in evaluation.candidates:
        child = _child(client, experiment, evaluation, entry, parent.info.run_id, common)
        children[entry.candidate] = child.info.run_id
        if is_open(child):
            mine = [fit for fit in fits if fit.candidate == entry.candidate]
            _log_child(client, child, definition, evaluation, entry, mine, samples)
    if is_open(parent):
        _log_parent(client, parent, definition, evaluation, samples)
    return LoggedTraining(parent.info.run_id, children, {caption: str(path) for caption, path in plots.items()})


def log_decision(home: Home, logged: LoggedTraining, row: PromotionRow, champion: PromotionRow | None, report: Path) -> None:
    """Close the parent run with its decision: tags, the report as its note and as files. Done once.

    Args:
        row: the recorded decision.
        champion: the row of who was champion after it.
        report: the HTML file of `write_report`; the Markdown beside it becomes the note.
    """
    with one_writer(home) as client:
        run = client.get_run(logged.run_id)
        if is_open(run):
            _close(client, run, row, champion, report)


def _close(client: MlflowClient, run: Run, row: PromotionRow, champion: PromotionRow | None, report: Path) -> None:
    run_id = run.info.run_id
    text = _attach(client, run_id, report)
    looks = row.evidence.get("looks") or {}
    tags = {
        "finflow.verdict": row.verdict,
        "finflow.champion": "" if champion is None else champion.candidate,
        "finflow.champion_version": "" if champion is None else str(champion.version),
        "finflow.reason": row.reason,
        **{f"finflow.{tag}": str(looks.get(name, "")) for name, tag in _LOOK_TAGS.items()},
    }
    leakage = row.evidence.get("leakage")
    if leakage is not None:
        tags[LEAKAGE] = "passed" if leakage["passed"] else "FAILED"
    write_run(client, run_id, finite_metrics({"promoted": float(row.moves)}, run.info.start_time), tags=tags, note=text)
    client.set_terminated(run_id, "FINISHED")


def log_trial_end(home: Home, logged: LoggedTraining, report: Path) -> None:
    """Close the parent run of a trial, with its report as its note and as files. Done once."""
    with one_writer(home) as client:
        if is_open(client.get_run(logged.run_id)):
            write_run(client, logged.run_id, note=_attach(client, logged.run_id, report))
            client.set_terminated(logged.run_id, "FINISHED")


def _attach(client: MlflowClient, run_id: str, report: Path) -> str:
    """Log a report's HTML and the Markdown beside it, and return the Markdown's text."""
    for path in (report, report.with_suffix(".md")):
        client.log_artifact(run_id, str(path), "report")
    return report.with_suffix(".md").read_text(encoding="utf-8")


def _common_tags(definition: Definition, evaluation: Evaluation, samples: SampleManifest, further: Mapping[str, str]) -> dict[str, str]:
    return {
        **common_tags(definition.name, evaluation.as_of, simulated=definition.simulated),
        "finflow.data_version": f"{samples.clean.table}@{samples.clean.version}",
        "finflow.data_digest": samples.clean.digest,
        "finflow.folds": str(len(evaluation.folds)),
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
    """The run of that role in this training."""
    return run_of(client, experiment, {"finflow.run_key": evaluation.run_key, "finflow.role": role}, name, tags)


def _log_child(
    client: MlflowClient,
    run: Run,
    definition: Definition,
    evaluation: Evaluation,
    entry: CandidateEvaluation,
    fits: Sequence[FitResult],
    samples: SampleManifest,
) -> None:
    run_id, moment = run.info.run_id, run.info.start_time
    reports = [(fit, read_report(fit)) for fit in fits]
    params = candidate_params(definition, entry, reports)
    tags = {"finflow.not_promotable": entry.invalid, "finflow.not_finite": ", ".join(not_finite(entry))}
    metrics = candidate_metrics(evaluation, entry, reports, moment)
    write_run(client, run_id, metrics, params, {key: value for key, value in tags.items() if value}, _note(evaluation, entry))
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
    share_leaderboard(client, run.info.experiment_id, evaluation, TRIAL if run.data.tags.get(KIND) == TRIAL else KEY)
    metrics, params = scalars(definition, evaluation, samples, run.info.start_time)
    write_run(client, run_id, metrics, params)
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
    metric = next((metric for metric in entry.metrics if metric.name == evaluation.loss), None)
    trouble = f"\n\nNot promotable: {entry.invalid}" if entry.invalid else ""
    return f"{entry.candidate}: {evaluation.loss} {with_interval(metric)}. {evaluation.protocol}{trouble}"


def _draw(problem: Problem, evaluation: Evaluation, fits: Sequence[FitResult]) -> dict[str, Path]:
    """The plots of a training beside its evaluation, by caption; those there are already are kept."""
    return draw_training(evaluation, problem.plots, {fit: read_report(fit) for fit in fits}, Path(evaluation.folder) / "plots")
