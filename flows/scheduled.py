"""What a scheduled run does before its stages: it gives way to a newer one, awaits its session's rows, and says when they are late.

A run that a person or an automation asks for does none of this: it reads what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.flows.deployments.plan import KINDS, Planned
from finflow.flows.deployments.register import renew_schedule
from finflow.flows.runs.awaiting_data import come_back
from finflow.flows.runs.events import LATE_DATA, emit
from finflow.flows.runs.missed_runs import SUPERSEDED, superseded_by
from finflow.flows.tasks import ingest_task, look_for_session_task
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.manifests import RawManifest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.operating.arrival import Awaited, LateDataError, session_as_of
from finflow.pipelines.operating.schedules import session_at

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

    from finflow.pipelines.operating.schedules import Due

LATE = "Late data"
_PAGE = 200  # flow runs that Prefect answers at once


@dataclass(frozen=True)
class Arrival:
    """The data of a run: the raw table and the as-of (ISO instant). `session` (ISO date) only where a schedule began the run."""

    raw: RawManifest
    as_of: str
    session: str | None = None


def arrive(context: Context, kind: str, as_of: str | None, *, ends_late: bool = True) -> Arrival | State:
    """Read the source as a run of the flow `kind` should; or the state in which the run ends now, superseded or late.

    A run whose session's rows are not there yet leaves its process here, and begins anew at the next look (see `awaiting_data.come_back`).

    Args:
        as_of: what a person asked for.
        ends_late: False: a run that watches the data goes on without the session's rows when they are late; to say so is its work.
    """
    due = scheduled_session(context.definition, kind) if as_of is None else None
    if due is None:
        raw = ingest_task(context)
        return Arrival(raw, resolve_as_of(context, as_of, version=raw.version).isoformat())
    newer = give_way(context.definition, kind)
    if newer is not None:
        return newer
    try:
        arrival = look_for_session_task(context, due)
    except LateDataError as error:
        if ends_late:
            return _late(context.definition, due, error)
        return Arrival(ingest_task(context), session_as_of(context, due.session).isoformat(), due.session)
    if isinstance(arrival, Awaited):
        run = _this_run()
        assert run is not None
        come_back(run, arrival)
    return Arrival(arrival.raw, session_as_of(context, due.session).isoformat(), due.session)


def scheduled_session(definition: Definition, kind: str) -> Due | None:
    """The newest session that was due when a run first started that a schedule began; None in any other run.

    A run that awaits its data starts several times, and stays with its session and its deadline.
    """

    run = _this_run()
    timing = definition.schedule.timing(kind)
    if run is None or timing is None or not run.auto_scheduled or run.deployment_id is None:
        return None
    return session_at(definition, timing, pd.Timestamp.now("UTC") if run.start_time is None else pd.Timestamp(run.start_time))


def give_way(definition: Definition, kind: str) -> State | None:
    """The state of a run that a newer one of its schedule supersedes; older ones that still wait, for a place or data, are ended too.

    Renews the schedule as well, where its dates run out.
    """
    from prefect import get_client
    from prefect.states import Cancelled, Completed

    run = _this_run()
    assert run is not None
    with get_client(sync_client=True) as client:
        _renew(client, run, definition, kind)
        due = _due_runs(client, run)
        newest = max([*due, run], key=_planned_for)
        for older in due:
            if older.id != newest.id and older.state is not None and older.state.is_scheduled():
                client.set_flow_run_state(older.id, Cancelled(name=SUPERSEDED, message=superseded_by(newest)))
    # The others have no process; this one ends in good order, and a cancelled state would end its process with a traceback.
    return None if newest.id == run.id else Completed(name=SUPERSEDED, message=superseded_by(newest))


def run_name(kind: str) -> Callable[[], str]:
    """What the Prefect UI calls a run of the flow: its definition, and the date or session that it is about."""

    def name() -> str:
        from prefect.runtime import flow_run

        parameters = flow_run.parameters
        definition = str(parameters["name"])
        shown = Path(definition).stem if definition.endswith((".yaml", ".yml")) else definition
        if parameters.get("as_of"):
            return f"{kind} {shown} as of {parameters['as_of']}"
        run = _this_run()
        if run is None or not run.auto_scheduled:
            return f"{kind} {shown}"
        return f"{kind} {shown} on schedule {_planned_for(run):%Y-%m-%d %H:%M}"

    return name


def _late(definition: Definition, due: Due, error: FinflowError) -> State:
    from prefect.states import Failed

    emit(LATE_DATA, definition, str(error), session=due.session)
    return Failed(name=LATE, message=str(error))


def _this_run() -> FlowRun | None:
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return None if context is None else context.flow_run


def _planned_for(run: FlowRun) -> Any:
    return run.expected_start_time


def _due_runs(client: SyncPrefectClient, run: FlowRun) -> list[FlowRun]:
    """The other runs of this run's schedule whose time has come, but for those that were cancelled or ended before this one."""
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterExpectedStartTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.types._datetime import now

    assert run.deployment_id is not None
    open_states = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
    present: Any = now("UTC")
    later = FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(after_=run.expected_start_time, before_=present))
    waiting = FlowRunFilter(
        expected_start_time=FlowRunFilterExpectedStartTime(before_=present),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=open_states)),
    )
    mine = DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id]))
    runs: dict[Any, FlowRun] = {}
    for wanted in (later, waiting):
        offset = 0
        while page := client.read_flow_runs(flow_run_filter=wanted, deployment_filter=mine, limit=_PAGE, offset=offset):
            runs |= {one.id: one for one in page if one.auto_scheduled and one.id != run.id}
            offset += len(page)
    return [one for one in runs.values() if one.state is None or not one.state.is_cancelled()]


def _renew(client: SyncPrefectClient, run: FlowRun, definition: Definition, kind: str) -> None:
    assert run.deployment_id is not None
    deployment = client.read_deployment(run.deployment_id)
    timing = definition.schedule.timing(kind)
    renew_schedule(client, deployment, Planned(next(one for one in KINDS if one.name == kind), definition, definition.name, timing, True))
