"""The flow that fills the predictions of a range of dates."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.artifacts import publish_validation
from flows.display import DISPLAY
from flows.tasks import backfill_chunk_task, backfill_plan_task, ingest_task, validate_task
from pipelines.definition import load_definition
from pipelines.home import Home


@flow(name="backfill", flow_run_name="backfill {name} {start} to {end}")
def backfill_flow(
    name: str,
    start: str,
    end: str,
    entity: str | None = None,
    only: str = "missing",
    model: str = "champion",
    newest_first: bool = False,
) -> dict[str, Any]:
    """Each date as it could have been predicted then; a date that fails does not stop the others."""
    from pipelines.backfill import backfill_as_of, backfill_result

    definition, home = load_definition(name), Home.from_environment()
    raw = ingest_task(definition, home)
    instant = backfill_as_of(definition, home, end)
    clean = validate_task(definition, home, raw, instant.isoformat())
    publish_validation(definition, clean)
    plan = backfill_plan_task(definition, home, start, end, entity, only, model, newest_first, clean)
    chunks = plan.chunks()
    DISPLAY.begin("backfill", len(chunks))
    done = [backfill_chunk_task(definition, home, plan, dates) for dates in chunks]
    return backfill_result(plan, done).to_dict()
