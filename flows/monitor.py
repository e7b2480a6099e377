"""The flow that watches a champion: data, drift, realised performance; one report, one table, one event."""

from __future__ import annotations

import uuid
from typing import Any

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE

from finflow.flows.artifacts import publish_validation
from finflow.flows.display import DISPLAY
from finflow.flows.runs.events import DRIFT, STALE
from finflow.flows.scheduled import arrive, run_name
from finflow.flows.tasks import validate_task
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.monitoring.data import monitoring_as_of
from finflow.pipelines.monitoring.pages import headline
from finflow.pipelines.monitoring.result import MonitoringResult
from finflow.pipelines.monitoring.run import monitor

#: the other event of a monitoring, where nothing alarms
MONITORED = "finflow.monitored"


@flow(name="monitor", flow_run_name=run_name("monitor"), validate_parameters=True)
def monitor_flow(name: str, as_of: str | None = None) -> dict[str, Any] | State[Any]:
    """Source to report: is what the champion learnt still so, and what were its predictions worth. Trains nothing."""
    definition = load_definition(name)
    context = open_context(definition, Home.from_environment())
    arrival = arrive(context, "monitor", as_of, ends_late=False)
    if isinstance(arrival, State):
        return arrival
    instant = monitoring_as_of(context, as_of, version=arrival.raw.version)
    clean = validate_task(context, arrival.raw, instant.isoformat())
    publish_validation(definition, clean)
    result = monitor_task(context, clean)
    publish_monitoring(definition, result)
    emit_monitoring(definition, name, result)
    return {**result.to_dict(), "title": definition.title or definition.name, "simulated": definition.simulated}


@task(name="monitor", cache_policy=NO_CACHE, persist_result=False)
def monitor_task(context: Context, clean: CleanManifest) -> MonitoringResult:
    """Every check, the table's rows, the report, the MLflow run."""
    result = monitor(context, clean)
    DISPLAY.say(
        f"monitored: {len(result.alarms)} alarms in {sum(one.measured for one in result.checks)} checks, {result.written} rows written"
    )
    return result


def publish_monitoring(definition: Definition, result: MonitoringResult) -> None:
    """The checks as a table in the Prefect UI, alarms first."""
    from prefect.artifacts import create_table_artifact

    shown = ("part", "check", "subject", "value", "threshold", "low", "high", "status", "detail")
    checks = sorted(result.checks, key=lambda one: not one.alarm)
    rows = [{"alarm": "ALARM" if one.alarm else "", **{name: one.to_dict()[name] for name in shown}} for one in checks]
    text = f"{definition.title or definition.name} as of {result.as_of[:10]}: {headline(result)}"
    create_table_artifact(table=rows, key=f"{definition.name}-monitoring", description=text)


def emit_monitoring(definition: Definition, name: str, result: MonitoringResult) -> None:
    """One event: `finflow.drift` when drift alarms, `finflow.stale-data` when only the data do (late, with gaps), else `finflow.monitored`.

    The resource's label `finflow.retrain` is the definition's `monitoring.retrain` where a training may answer the alarms, else `never`:
    an automation that starts trainings matches `on-drift`. `finflow.new` is `true` where the monitoring before, of the same champion, did
    not have all of these alarms, and `finflow.new-drift` where it did not have all of the drift: drift that lasts starts one training, not
    one a day. The same monitoring again is the same event to the
    server (its id), stored once.
    """
    from prefect.events import emit_event

    retrain = result.retrain if result.drift else "never"
    emit_event(
        event=DRIFT if result.drift else STALE if result.alarms else MONITORED,
        resource={
            "prefect.resource.id": f"finflow.definition.{definition.name}",
            "prefect.resource.name": definition.title or definition.name,
            "finflow.retrain": retrain,
            "finflow.new": str(bool(result.new_alarms)).lower(),
            "finflow.new-drift": str(result.new_drift).lower(),
        },
        payload={
            "text": f"{definition.name} as of {result.as_of[:10]}: {'; '.join(result.alarms[:5]) or 'no alarm'}",
            "definition": definition.name,
            "name": name,
            "as_of": result.as_of,
            "alarms": list(result.alarms)[:50],
            "new_alarms": list(result.new_alarms)[:50],
            "champion": result.champion,
            "retrain": retrain,
            "report": result.report,
            "run_id": result.run_id,
        },
        id=uuid.uuid5(uuid.NAMESPACE_URL, f"finflow/monitoring/{result.key}"),
    )
