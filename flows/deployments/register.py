"""Pool, queues and deployments on a Prefect server. What a person has changed or paused there stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.flows.deployments.plan import (
    COLLISION,
    POOL_TYPE,
    QUEUES,
    SLUG,
    Planned,
    coming_runs,
    exchange_zone,
    form_of,
    job_variables,
    plan_deployments,
    rule_of,
    runs_of,
)
from finflow.flows.runs import POOL
from finflow.pipelines.core.home import Home
from finflow.pipelines.settings.timing import AfterClose

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


def register_deployments(home: Home, names: list[str]) -> list[str]:
    """Create or bring up to date the deployments of the shipped definitions and of those named, on the server of PREFECT_API_URL.

    Doing it twice changes nothing. A deployment or schedule that was paused, a schedule that a person added and a queue's changed limit
    stay as they are.

    Returns:
        The deployments' full names (flow/deployment).

    Raises:
        DefinitionError: a definition cannot be read; nothing was registered.
    """
    from prefect.client.orchestration import get_client

    wanted = plan_deployments(names)
    with get_client(sync_client=True) as client:
        _ensure_pool(client)
        for one in wanted:
            _register(client, one)
    return [one.full_name for one in wanted]


def renew_schedule(client: SyncPrefectClient, deployment: DeploymentResponse, planned: Planned) -> bool:
    """Let the deployment's schedule say what the definition says; True if it had to be changed.

    Exchange dates are renewed once half of them lie in the past, or when they are others than the exchange's now.
    """
    mine = next((schedule for schedule in deployment.schedules if (schedule.slug or "").startswith(SLUG)), None)
    if planned.timing is None:
        if mine is not None:
            client.delete_deployment_schedule(deployment.id, mine.id)
        return mine is not None
    now = pd.Timestamp.now("UTC")
    if mine is None:
        client.create_deployment_schedules(deployment.id, [_new_schedule(planned, now)])
        return True
    wanted = schedule_of(planned, now)
    if mine.slug == planned.slug and _says_the_same(mine.schedule, wanted, now):
        return False
    client.update_deployment_schedule(deployment.id, mine.id, schedule=wanted, slug=planned.slug)  # whether it is active stays
    return True


def schedule_of(planned: Planned, now: Any) -> Any:
    """The schedule of a planned deployment as Prefect keeps it: a cron line, or the coming sessions one by one."""
    from prefect.client.schemas.schedules import CronSchedule, RRuleSchedule

    timing = planned.timing
    assert timing is not None
    if isinstance(timing, AfterClose):
        runs = coming_runs(planned.definition, timing, now)
        return RRuleSchedule(rrule=rule_of(runs), timezone=exchange_zone(timing.exchange))
    return CronSchedule(cron=timing.line, timezone=planned.definition.schedule.timezone)


def _says_the_same(there: Any, wanted: Any, now: Any) -> bool:
    rule = getattr(wanted, "rrule", None)
    if rule is None or not hasattr(there, "rrule") or there.timezone != wanted.timezone:
        return bool(rule is None and getattr(there, "cron", None) == wanted.cron and there.timezone == wanted.timezone)
    left = [run for run in runs_of(there.rrule, there.timezone) if run >= now]
    coming = runs_of(rule, wanted.timezone)
    return len(left) >= len(coming) / 2 and left == coming[: len(left)]


def _new_schedule(planned: Planned, now: Any) -> Any:
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    return DeploymentScheduleCreate(schedule=schedule_of(planned, now), active=planned.active, slug=planned.slug)


def _ensure_pool(client: SyncPrefectClient) -> None:
    """The pool and its queues; those there are already stay as they are."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
    from prefect.workers.process import ProcessWorker

    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=POOL, type=POOL_TYPE, base_job_template=template, description="What `finflow up` runs on this machine.")
        client.create_work_pool(pool)
    for queue in QUEUES:
        try:
            client.create_work_queue(
                queue.name, description=queue.description, concurrency_limit=queue.limit, priority=queue.priority, work_pool_name=POOL
            )
        except ObjectAlreadyExists:
            continue


def _register(client: SyncPrefectClient, planned: Planned) -> None:
    from prefect.exceptions import ObjectNotFound

    wanted = _fields(planned)
    try:
        deployment = client.read_deployment_by_name(planned.full_name)
    except ObjectNotFound:
        schedules = [] if planned.timing is None else [_new_schedule(planned, pd.Timestamp.now("UTC"))]
        flow = client.create_flow_from_name(planned.kind.name)
        client.create_deployment(
            flow_id=flow,
            name=planned.definition.name,
            work_pool_name=POOL,
            concurrency_limit=1,
            schedules=schedules,
            paused=False,
            **wanted,
        )
        return
    _bring_up_to_date(client, deployment.id, deployment, wanted)
    renew_schedule(client, deployment, planned)


def _fields(planned: Planned) -> dict[str, Any]:
    """What a deployment must be, but for its schedules and whether it is paused."""
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions

    return {
        "entrypoint": planned.kind.entrypoint,
        "parameters": {"name": planned.name},
        "description": planned.description,
        "tags": planned.tags,
        "work_queue_name": planned.kind.queue,
        "job_variables": job_variables(),
        "parameter_openapi_schema": form_of(planned),
        "enforce_parameter_schema": True,
        "concurrency_options": ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy(COLLISION)),
    }


def _bring_up_to_date(client: SyncPrefectClient, identity: UUID, deployment: DeploymentResponse, wanted: dict[str, Any]) -> None:
    from prefect.client.schemas.actions import DeploymentUpdate

    changed = {key: value for key, value in wanted.items() if key != "parameter_openapi_schema" and getattr(deployment, key) != value}
    if deployment.parameter_openapi_schema != wanted["parameter_openapi_schema"]:
        changed["parameter_openapi_schema"] = wanted["parameter_openapi_schema"]
    if "work_queue_name" in changed:
        changed["work_pool_name"] = POOL
    limit = deployment.global_concurrency_limit
    if limit is None:
        changed["concurrency_limit"] = 1
    if changed:
        client.update_deployment(identity, DeploymentUpdate(**changed))
