"""prefect.yaml: the deployments of the shipped definitions. `python -m finflow.flows.deployments.file` writes it anew."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from finflow.flows.deployments.plan import COLLISION, POOL, Planned, coming_runs, exchange_zone, plan_deployments, rule_of
from finflow.pipelines.settings.timing import AfterClose

FILE = Path(__file__).parents[2] / "prefect.yaml"
#: the dates of sessions in the file begin here; a server's are renewed by `finflow up`, and by every scheduled run
SINCE = datetime.date(2026, 11, 23)

_HEAD = f"""\
# The deployments of the shipped definitions, written by `python -m finflow.flows.deployments.file`; a test holds both equal.
# `finflow up` registers the same and keeps them up to date. Without it, make the pool and its queues first:
#   prefect work-pool create {POOL} --type process
#   prefect work-queue create live --pool {POOL} --priority 1
#   prefect work-queue create training --pool {POOL} --priority 2 --limit 1
#   prefect work-queue create backfill --pool {POOL} --priority 3 --limit 1
#   prefect deploy --all --prefect-file prefect.yaml
#   python -m finflow.flows.servers.worker --limit 4
# A schedule after a close holds the sessions of the coming year, from {SINCE} on, in the exchange's own time.
"""


def deployment_file() -> str:
    """The text of prefect.yaml."""
    import yaml

    values = {"name": "finflow", "pull": [], "deployments": [_entry(planned) for planned in plan_deployments([])]}
    return _HEAD + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=140)


def _entry(planned: Planned) -> dict[str, Any]:
    return {
        "name": planned.definition.name,
        "entrypoint": planned.kind.entrypoint,
        "description": planned.description,
        "tags": planned.tags,
        "parameters": {"name": planned.name},
        "enforce_parameter_schema": True,
        "concurrency_limit": {"limit": 1, "collision_strategy": COLLISION},
        "schedules": [] if planned.timing is None else [_schedule(planned)],
        "work_pool": {"name": POOL, "work_queue_name": planned.kind.queue, "job_variables": {}},
    }


def _schedule(planned: Planned) -> dict[str, Any]:
    import pandas as pd

    timing = planned.timing
    if isinstance(timing, AfterClose):
        runs = coming_runs(planned.definition, timing, pd.Timestamp(SINCE, tz="UTC"))
        when = {"rrule": rule_of(runs), "timezone": exchange_zone(timing.exchange)}
    else:
        assert timing is not None
        when = {"cron": timing.line, "timezone": planned.definition.schedule.timezone}
    return {"slug": planned.slug, "active": planned.active, **when}


if __name__ == "__main__":
    FILE.write_text(deployment_file(), encoding="utf-8")
