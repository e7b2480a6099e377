"""The flow that predicts from one date with the champion."""

from __future__ import annotations

from typing import Any

from prefect import State, flow

from finflow.flows.artifacts import backfill_progress, publish_validation
from finflow.flows.scheduled import Arrival, arrive, run_name
from finflow.flows.tasks import backfill_chunk_task, backfill_plan_task, score_task, validate_task
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import load_definition


@flow(name="score", flow_run_name=run_name("score"), validate_parameters=True)
def score_flow(name: str, as_of: str | None = None, version: int | None = None) -> dict[str, Any] | State[Any]:
    """New data, checked, windowed and predicted; the rows are appended once. A scheduled run fills the sessions missed before its own.

    Args:
        name: the definition.
        as_of: a date; empty: the newest session.
        version: a model's version; empty: the champion.
    """
    definition, home = load_definition(name), Home.from_environment()
    arrival = arrive(definition, home, "score", as_of)
    if isinstance(arrival, State):
        return arrival
    clean = validate_task(definition, home, arrival.raw, arrival.as_of)
    publish_validation(definition, clean)
    scored = score_task(definition, home, clean, version)
    missed = catch_up(definition, home, clean, arrival)
    return {"definition": definition.name, **scored.to_dict(), **({"missed": missed} if missed else {})}


def catch_up(definition: Definition, home: Home, clean: CleanManifest, arrival: Arrival) -> list[dict[str, Any]]:
    """The sessions without a prediction before a scheduled run's own, filled as backfills by the versions effective then."""
    from finflow.pipelines.operating.arrival import missed_sessions

    missed = [] if arrival.session is None else missed_sessions(definition, home, arrival.session)
    return [_fill(definition, home, clean, start, end) for start, end in missed]


def _fill(definition: Definition, home: Home, clean: CleanManifest, start: str, end: str) -> dict[str, Any]:
    from finflow.pipelines.backfill.run import backfill_result

    plan = backfill_plan_task(definition, home, start, end, {"model": "as-of", "clean": clean})
    progress = backfill_progress(definition.name, len(plan.chunks()))
    done = []
    for dates in plan.chunks():
        done.append(backfill_chunk_task(definition, home, plan, dates))
        progress.advance()
    result = backfill_result(plan, done)
    return {"start": result.start, "end": result.end, "counts": result.counts, "written": result.written, "summary": result.summary}
