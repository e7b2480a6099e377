"""Runs whose process died without a word: marked as crashed within a time that is a setting, so that nothing runs for ever.

On a server, each run sends heartbeats, and an automation (infra/automations.yaml) marks a run that has fallen silent. On the embedded
server, which nobody watches between commands, the next command marks the runs whose process is gone.
"""

from __future__ import annotations

import os
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.processes import is_alive, started_at

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

VARIABLE = "FINFLOW_ZOMBIE_SECONDS"
DEFAULT_SECONDS = 600
#: Prefect sends heartbeats at least 30 s apart; a shorter silence would be nothing to go by
SHORTEST_HEARTBEAT = 30
LONGEST_HEARTBEAT = 180  # Prefect's default
SHORTEST_SECONDS = 40

#: tags of the runs that a command begins in its own process
COMMAND = "command-line"
_TAG = re.compile(r"process (\d+) of (\d+\.\d+) on (.+)")
GONE = "The command's process is gone: it was killed, or the machine went down. Run it again; it goes on from what is done."


def zombie_seconds() -> int:
    """After how many seconds of silence a run counts as crashed: FINFLOW_ZOMBIE_SECONDS.

    Raises:
        FinflowError: it is no whole number, or below 40.
    """
    text = os.environ.get(VARIABLE) or str(DEFAULT_SECONDS)
    if not text.isdigit() or int(text) < SHORTEST_SECONDS:
        raise FinflowError(
            f"{VARIABLE} is {text[:20]!r}: expected whole seconds, {SHORTEST_SECONDS} or more (a run says that it lives every "
            f"{SHORTEST_HEARTBEAT} s at most)."
        )
    return int(text)


def heartbeat_seconds() -> int:
    """How often a run says that it lives: three times in the time after which it would count as crashed, where Prefect allows that."""
    return max(SHORTEST_HEARTBEAT, min(LONGEST_HEARTBEAT, zombie_seconds() // 3))


@contextmanager
def watched_runs(api: str) -> Iterator[None]:
    """Mark the runs of killed commands as crashed; runs that begin in the block carry this process's id, for the commands after it.

    Only commands of this machine are known by their processes. A server that does not answer is not asked: whoever needs it will say so.
    """
    from prefect import tags

    if _answers(api):
        mark_gone(api)
    with tags(COMMAND, _process_tag()):
        yield


def mark_gone(api: str) -> list[str]:
    """Mark as crashed each open run of a command of this machine whose process is gone, with its open tasks; their names."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType, FlowRunFilterTags
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING]))
    gone = []
    with SyncPrefectClient(api, auth_string=os.environ.get("PREFECT_API_AUTH_STRING")) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=states, tags=FlowRunFilterTags(all_=[COMMAND]))):
            if any(_is_gone(tag) for tag in run.tags):
                client.set_flow_run_state(run.id, Crashed(message=GONE), force=True)
                _end_tasks(client, run.id)
                gone.append(str(run.name))
    return gone


def _end_tasks(client: SyncPrefectClient, run: UUID) -> None:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, TaskRunFilter, TaskRunFilterState, TaskRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    states = TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING]))
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    for task in client.read_task_runs(flow_run_filter=mine, task_run_filter=TaskRunFilter(state=states)):
        client.set_task_run_state(task.id, Crashed(message=GONE), force=True)


def _process_tag() -> str:
    pid = os.getpid()
    return f"process {pid} of {started_at(pid):.2f} on {socket.gethostname()}"


def _is_gone(tag: str) -> bool:
    """Whether a tag names a process of this machine that does not run any more."""
    process = _TAG.fullmatch(tag)
    return process is not None and process[3] == socket.gethostname() and not is_alive(int(process[1]), float(process[2]))


def _answers(api: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{api.rstrip('/')}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False
