"""How a scheduled run waits for late data: not in its process, which would hold one of the worker's places and its deployment's slot.

The attempt ends, and Prefect schedules the same run again. (A flow that returned a scheduled state would be marked as crashed: Prefect 3.8
then asks that state for a result, which it does not have.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pandas as pd

from finflow.flows.runs.events import announce_wait

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from finflow.pipelines.operating.arrival import Awaited

AWAITING = "Awaiting data"


def come_back(run: FlowRun, awaited: Awaited) -> NoReturn:
    """End this attempt of a deployment's run; a worker takes up the same run at the next look. Its state says what it waits for.

    Its first start and the time it was planned for stay, so the session it is about and its place among newer runs do, too. The log gets
    one line for all looks.

    Raises:
        Pause: always; it is how a run leaves its process for being submitted again.
    """
    from prefect import get_client, get_run_logger
    from prefect.exceptions import Pause
    from prefect.states import Scheduled

    next_look = pd.Timestamp(awaited.next_look).to_pydatetime()
    message = f"{awaited.text} The next look is at {next_look:%Y-%m-%d %H:%M:%S} UTC."
    with get_client(sync_client=True) as client:
        if all(state.name != AWAITING for state in client.read_flow_run_states(run.id)):
            get_run_logger().warning(awaited.text)
        # Where a process is named, Prefect would have a worker end it when the run is cancelled, and wait for that.
        client.request("PATCH", "/flow_runs/{id}", path_params={"id": run.id}, json={"infrastructure_pid": None})
        client.set_flow_run_state(run.id, Scheduled(name=AWAITING, scheduled_time=next_look, message=message))
    announce_wait(run.id, message)
    raise Pause(message)
