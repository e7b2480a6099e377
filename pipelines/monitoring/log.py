"""A monitoring in MLflow: one run of the definition's experiment, found again by its key, so that the same one is there once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finflow.pipelines.definitions.context import Context
from finflow.pipelines.tracking.runs import common_tags, finite_metrics, is_open, one_writer, run_of, write_run
from finflow.pipelines.tracking.store import experiment_of

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.monitoring.result import MonitoringResult, WrittenPages

KIND = "monitoring"


def log_monitoring(context: Context, result: MonitoringResult, written: WrittenPages) -> str:
    """Log the values, the report and the plots; the run's id. A run that a crash left open is written again."""
    from mlflow.entities import Param

    definition, home = context.definition, context.home
    with one_writer(home) as client:
        experiment = experiment_of(home, client, definition.name)
        key, name = {"finflow.monitoring_key": result.key}, f"monitor as of {result.as_of[:10]}"
        run = run_of(client, experiment, key, name, _tags(definition, result))
        run_id = str(run.info.run_id)
        if not is_open(run):
            return run_id
        values = {f"{one.part}.{one.check}.{one.subject}": one.value for one in result.checks if one.measured}
        values |= {"alarms": float(len(result.alarms)), "checks": float(sum(one.measured for one in result.checks))}
        params = [Param("sessions", str(definition.monitoring.sessions)), Param("reference", definition.reference)]
        note = written.markdown.read_text(encoding="utf-8")
        write_run(client, run_id, finite_metrics(values, run.info.start_time), params, note=note)
        for path in (written.html, written.markdown):
            client.log_artifact(run_id, str(path), "report")
        for path in written.plots.values():
            client.log_artifact(run_id, str(path), "plots")
        client.set_terminated(run_id, "FINISHED")
        return run_id


def _tags(definition: Definition, result: MonitoringResult) -> dict[str, str]:
    champion = result.champion or {"version": "", "candidate": ""}
    return {
        **common_tags(definition.name, result.as_of, simulated=definition.simulated),
        "kind": KIND,
        "finflow.champion": str(champion["candidate"]),
        "finflow.champion_version": str(champion["version"]),
        "finflow.alarms": str(len(result.alarms)),
        "finflow.drift": str(result.drift).lower(),
        "finflow.data_version": f"clean/{definition.name}@{result.data_version}",
        "finflow.data_digest": result.data_digest,
    }
