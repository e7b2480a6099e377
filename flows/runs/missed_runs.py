"""After downtime: of the runs that a schedule has missed only the newest is left, before a worker sees forty
(`finflow.flows.servers.worker`)."""

from __future__ import annotations

from typing import Any

SUPERSEDED = "Superseded"
_PAGE = 200


def supersede_missed() -> int:
    """Cancel, on the server of PREFECT_API_URL, the scheduled runs whose time has come but for the newest of each deployment.

    Runs that a person asked for are left alone, and so are those whose process runs: they look for themselves whether a newer one is due.
    One that awaits late data has none, and counts by the time it was planned for.

    Returns:
        How many were cancelled.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterTags,
        FlowRunFilter,
        FlowRunFilterExpectedStartTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled
    from prefect.types._datetime import now

    present: Any = now("UTC")
    due = FlowRunFilter(
        expected_start_time=FlowRunFilterExpectedStartTime(before_=present),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
    )
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=["finflow"]))
    with get_client(sync_client=True) as client:
        count = 0
        for runs in _by_deployment(client, due, ours):
            *older, newest = sorted(runs, key=lambda run: run.expected_start_time)
            for run in older:
                client.set_flow_run_state(run.id, Cancelled(name=SUPERSEDED, message=superseded_by(newest)))
            count += len(older)
    return count


def _by_deployment(client: Any, due: Any, ours: Any) -> list[list[Any]]:
    """The runs of a schedule that two filters of Prefect's, of runs and of deployments, let through."""
    waiting: dict[Any, list[Any]] = {}
    offset = 0
    while page := client.read_flow_runs(flow_run_filter=due, deployment_filter=ours, limit=_PAGE, offset=offset):
        for run in page:
            if run.auto_scheduled:
                waiting.setdefault(run.deployment_id, []).append(run)
        offset += len(page)
    return list(waiting.values())


def superseded_by(newest: Any) -> str:
    """What a superseded run says."""
    planned = f"{newest.expected_start_time:%Y-%m-%d %H:%M}"
    return f"Superseded by the run planned for {planned} UTC ({newest.name}): one run catches up."
