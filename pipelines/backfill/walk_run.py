"""The MLflow run that a version of a walk belongs to: one a period, with what was compared and what was decided."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from finflow.pipelines.core.manifests import Decision, Evaluation
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition

if TYPE_CHECKING:
    from mlflow import MlflowClient


def walk_run(context: Context, every: str, evaluation: Evaluation, decision: Decision) -> str:
    """The id of the run of this period's key: found, or made and written."""
    from filelock import FileLock

    from finflow.pipelines.tracking.store import experiment_of, store_client

    home = context.home
    client = store_client(home)
    home.mlflow.mkdir(parents=True, exist_ok=True)
    with FileLock(home.mlflow / "tracking.lock"):
        experiment = experiment_of(home, client, context.name)
        query = f"tags.`finflow.run_key` = '{evaluation.run_key}' and tags.`finflow.walk` = '{every}'"
        found = client.search_runs([experiment], filter_string=query, max_results=1)
        return str(found[0].info.run_id) if found else _write(client, experiment, context.definition, every, evaluation, decision)


def _write(client: MlflowClient, experiment: str, definition: Definition, every: str, evaluation: Evaluation, decision: Decision) -> str:
    from mlflow.entities import Metric

    from finflow.pipelines.core.code import code_version
    from finflow.pipelines.tracking.store import safe

    tags = {
        "finflow.run_key": evaluation.run_key,
        "finflow.definition": definition.name,
        "finflow.as_of": evaluation.as_of,
        "finflow.walk": every,
        "finflow.verdict": decision.verdict,
        "finflow.champion": decision.candidate,
        "finflow.code_version": code_version(),
        "finflow.simulated": str(definition.simulated).lower(),
        "mlflow.source.name": "finflow",
        "mlflow.user": "finflow",
        "mlflow.note.content": f"{decision.reason}\n\n{evaluation.protocol}"[:8000],
    }
    run = client.create_run(experiment, tags=tags, run_name=f"walk {every} as of {evaluation.as_of[:10]}")
    deciding = {
        entry.candidate: metric.value for entry in evaluation.candidates for metric in entry.metrics if metric.name == evaluation.loss
    }
    metrics = [
        Metric(safe(f"{evaluation.loss}.{name}"), float(value), run.info.start_time, 0)
        for name, value in deciding.items()
        if value is not None and math.isfinite(value)
    ]
    client.log_batch(run.info.run_id, metrics=metrics)
    client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)
