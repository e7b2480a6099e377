"""A monitoring in MLflow: one run of the definition's experiment, found again by its key, so that the same one is there once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from finflow.pipelines.core.code import code_version
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.tracking.store import experiment_of, safe, store_client

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.monitoring.result import MonitoringResult, Written

KIND = "monitoring"


def log_monitoring(context: Context, result: MonitoringResult, written: Written) -> str:
    """Log the values, the report and the plots; the run's id. A run that a crash left open is written again."""
    from filelock import FileLock
    from mlflow.entities import Metric, Param, RunTag

    definition, home = context.definition, context.home
    home.mlflow.mkdir(parents=True, exist_ok=True)
    with FileLock(home.mlflow / "tracking.lock"):
        client = store_client(home)
        experiment = experiment_of(home, client, definition.name)
        query = f"tags.`finflow.monitoring_key` = '{result.key}'"
        found = client.search_runs([experiment], filter_string=query, max_results=1)
        if found and found[0].info.status not in ("RUNNING", "SCHEDULED"):
            return str(found[0].info.run_id)
        tags = _tags(definition, result)
        run = found[0] if found else client.create_run(experiment, tags=tags, run_name=f"monitor as of {result.as_of[:10]}")
        run_id, moment = str(run.info.run_id), run.info.start_time
        values = {f"{one.part}.{one.check}.{one.subject}": one.value for one in result.checks if one.measured}
        values |= {"alarms": float(len(result.alarms)), "checks": float(sum(one.measured for one in result.checks))}
        metrics = [
            Metric(safe(name), float(value), moment, 0) for name, value in values.items() if value is not None and math.isfinite(value)
        ]
        params = [Param("sessions", str(definition.monitoring.sessions)), Param("reference", definition.reference)]
        note = RunTag("mlflow.note.content", written.markdown.read_text(encoding="utf-8")[:8000])
        # MLflow takes at most 1,000 metrics in one batch
        client.log_batch(run_id, metrics=metrics[:1000], params=params, tags=[note])
        for path in (written.html, written.markdown):
            client.log_artifact(run_id, str(path), "report")
        for path in written.plots.values():
            client.log_artifact(run_id, str(path), "plots")
        client.set_terminated(run_id, "FINISHED")
        return run_id


def _tags(definition: Definition, result: MonitoringResult) -> dict[str, str]:
    champion = result.champion or {"version": "", "candidate": ""}
    return {
        "kind": KIND,
        "finflow.monitoring_key": result.key,
        "finflow.definition": definition.name,
        "finflow.as_of": result.as_of,
        "finflow.champion": str(champion["candidate"]),
        "finflow.champion_version": str(champion["version"]),
        "finflow.alarms": str(len(result.alarms)),
        "finflow.drift": str(result.drift).lower(),
        "finflow.data_version": f"clean/{definition.name}@{result.data_version}",
        "finflow.data_digest": result.data_digest,
        "finflow.code_version": code_version(),
        "finflow.simulated": str(definition.simulated).lower(),
        "mlflow.source.name": "finflow",
        "mlflow.user": "finflow",
    }
