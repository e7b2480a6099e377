"""The flow that predicts from one date with the champion."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.artifacts import publish_validation
from flows.tasks import ingest_task, score_task, validate_task
from pipelines.definition import load_definition
from pipelines.home import Home


@flow(name="score", flow_run_name="score {name} as of {as_of}", validate_parameters=True)
def score_flow(name: str, as_of: str | None = None, version: int | None = None) -> dict[str, Any]:
    """New data, checked, windowed and predicted; the rows are appended once."""
    from pipelines.knowledge import resolve_as_of

    definition, home = load_definition(name), Home.from_environment()
    raw = ingest_task(definition, home)
    instant = resolve_as_of(definition, home, as_of)
    clean = validate_task(definition, home, raw, instant.isoformat())
    publish_validation(definition, clean)
    scored = score_task(definition, home, clean, version)
    return {"definition": definition.name, **scored.to_dict()}
