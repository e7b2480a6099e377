"""The flow that predicts from one date with the champion."""

from __future__ import annotations

from typing import Any

from prefect import State, flow

from finflow.flows.artifacts import backfill_progress, publish_validation
from finflow.flows.scheduled import Arrival, arrive, run_name
from finflow.flows.tasks import backfill_chunk_task, backfill_plan_task, score_task, validate_task
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import backfill_result
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.operating.arrival import missed_sessions


@flow(name="score", flow_run_name=run_name("score"), validate_parameters=True)
def score_flow(name: str, as_of: str | None = None, version: int | None = None) -> dict[str, Any] | State[Any]:
    """New data, checked, windowed and predicted; the rows are appended once. A scheduled run fills the sessions missed before its own.

    Args:
        name: the definition.
        as_of: a date; empty: the newest session.
        version: a model's version; empty: the champion.
    """
    context = open_context(load_definition(name), Home.from_environment())
    arrival = arrive(context, "score", as_of)
    if isinstance(arrival, State):
        return arrival
    clean = validate_task(context, arrival.raw, arrival.as_of)
    publish_validation(context.definition, clean)
    scored = score_task(context, clean, version)
    missed = catch_up(context, clean, arrival)
    return {"definition": context.name, **scored.to_dict(), **({"missed": missed} if missed else {})}


def catch_up(context: Context, clean: CleanManifest, arrival: Arrival) -> list[dict[str, Any]]:
    """The sessions without a prediction before a scheduled run's own, filled as backfills by the versions effective then."""
    missed = [] if arrival.session is None else missed_sessions(context, arrival.session)
    return [_fill(context, clean, start, end) for start, end in missed]


def _fill(context: Context, clean: CleanManifest, start: str, end: str) -> dict[str, Any]:
    plan = backfill_plan_task(context, BackfillRequest(start, end, model="as-of"), clean)
    progress = backfill_progress(context.name, len(plan.chunks()))
    done = []
    for dates in plan.chunks():
        done.append(backfill_chunk_task(context, plan, dates))
        progress.advance()
    result = backfill_result(plan, done)
    return {"start": result.start, "end": result.end, "counts": result.counts, "written": result.written, "summary": result.summary}
