"""The flow that fills the predictions of a range of dates."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, Literal

from prefect import flow
from pydantic import Field

from finflow.flows.artifacts import backfill_progress, publish_validation
from finflow.flows.display import DISPLAY
from finflow.flows.tasks import backfill_chunk_task, backfill_plan_task, ingest_task, validate_task, walk_period_task
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import backfill_as_of, backfill_result, forget
from finflow.pipelines.backfill.walk_forward import walk_steps
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.loading import load_definition

if TYPE_CHECKING:
    from finflow.pipelines.backfill.run import BackfillPlan, ChunkResult


def _run_name() -> str:
    """What the UI calls a run: the definition's name without its folder, and the dates."""
    from prefect.runtime import flow_run

    given = flow_run.parameters
    return f"backfill {Path(str(given['name'])).stem} {given['start']} to {given['end']}"


@flow(name="backfill", flow_run_name=_run_name, validate_parameters=True)
def backfill_flow(
    name: str,
    start: str,
    end: str,
    entity: str | None = None,
    only: Literal["missing", "failed", "stale", "all"] = "missing",
    model: str = "champion",
    newest_first: bool = False,
    max_active: Annotated[int, Field(ge=1, le=64)] = 1,
    retrain: Literal["monthly", "quarterly"] | None = None,
    restated: bool = False,
) -> dict[str, Any]:
    """Each date as it could have been predicted then; a date that fails does not stop the others."""
    context = open_context(load_definition(name), Home.from_environment())
    raw = ingest_task(context)
    instant = backfill_as_of(context, end, restated)
    clean = validate_task(context, raw, instant.isoformat())
    publish_validation(context.definition, clean)
    request = BackfillRequest(start, end, entity, only, model, newest_first, max_active, retrain, restated)
    try:
        plan = backfill_plan_task(context, request, clean)
        if plan.untrained:
            plan = backfill_plan_task(context, request, clean, _train(context, plan))
        return backfill_result(plan, _fill(context, plan)).to_dict()
    finally:
        forget()


def _train(context: Context, plan: BackfillPlan) -> dict[str, str]:
    """Train what the dates wait for, period after period; by the period where that ends early, why."""
    steps = walk_steps(context, plan.model, plan.untrained, plan.clean.raw)
    DISPLAY.begin("train", len(steps))
    for step in steps:
        reason = walk_period_task(context, step)
        if reason is not None:
            return {step.period.start: reason}
    return {}


def _fill(context: Context, plan: BackfillPlan) -> list[ChunkResult]:
    """Every chunk of the plan, at most `max_active` at the same time; one that breaks lets the others end first."""
    chunks = plan.chunks()
    DISPLAY.begin("backfill", len(chunks))
    progress = backfill_progress(context.name, len(chunks))
    ended: SimpleQueue[Any] = SimpleQueue()
    futures: list[Any] = []
    for place, dates in enumerate(chunks):
        if place >= plan.max_active:
            ended.get()
            progress.advance()
        futures.append(backfill_chunk_task.submit(context, plan, dates))
        futures[-1].add_done_callback(ended.put)
    for _ in range(min(plan.max_active, len(chunks))):
        ended.get()
        progress.advance()
    return [future.result() for future in futures]
