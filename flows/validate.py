"""The flow that reads a source and checks it, and does nothing more."""

from __future__ import annotations

from typing import Any

from prefect import flow

from finflow.flows.artifacts import publish_validation
from finflow.flows.scheduled import run_name
from finflow.flows.tasks import ingest_task, validate_task
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.loading import load_definition


@flow(name="validate", flow_run_name=run_name("validate"), validate_parameters=True)
def validate_flow(name: str, as_of: str | None = None) -> dict[str, Any]:
    """Source to clean table: what was read, which rules held, what was quarantined."""
    context = open_context(load_definition(name), Home.from_environment())
    raw = ingest_task(context)
    instant = resolve_as_of(context, as_of, version=raw.version)
    clean = validate_task(context, raw, instant.isoformat())
    publish_validation(context.definition, clean)
    return {"definition": context.name, **clean.to_dict()}
