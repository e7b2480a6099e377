"""What the commands that operate finflow do: servers, monitoring, approval, alerts, pruning. Imports are late, for a quick start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.home import Home

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Decision
    from finflow.pipelines.definitions.context import Context
    from finflow.pipelines.operating.pruning.run import PruneResult

Outcome = dict[str, Any]


def up(home: Home, names: list[str], check: bool) -> Outcome:
    """Start what does not run yet, or only look."""
    from finflow.flows.servers.stack import check_stack, start_stack

    return check_stack(home) if check else start_stack(home, names)


def down(home: Home) -> Outcome:
    from finflow.flows.servers.stack import stop_stack

    return stop_stack(home)


def monitor(home: Home, name: str, as_of: str | None) -> Outcome:
    from finflow.flows.command_line.called import called
    from finflow.flows.display import DISPLAY
    from finflow.flows.servers.server import prefect_server
    from finflow.pipelines.definitions.context import open_by_name
    from finflow.pipelines.operating.early_checks import check_monitor

    check_monitor(open_by_name(name, home), as_of)
    with prefect_server(home), DISPLAY.live():
        from finflow.flows.monitor import monitor_flow

        return called(monitor_flow(name, as_of))


def approve(home: Home, name: str, version: int, by: str, why: str) -> Outcome:
    from finflow.pipelines.definitions.context import open_by_name
    from finflow.pipelines.operating.approval import approve as decide

    context = open_by_name(name, home)
    return _decided(context, decide(context, version, by, why))


def reject(home: Home, name: str, version: int, by: str, why: str) -> Outcome:
    from finflow.pipelines.definitions.context import open_by_name
    from finflow.pipelines.operating.approval import reject as decide

    context = open_by_name(name, home)
    decision = decide(context, version, by, why)
    if home.prefect_api:  # where servers run, somebody may want to be told
        from finflow.flows.runs.events import announce_rejection
        from finflow.flows.servers.server import send_what_is_queued

        announce_rejection(context.definition, decision, version)
        send_what_is_queued()
    return _decided(context, decision)


def _decided(context: Context, decision: Decision) -> Outcome:
    """The decision, and what waits after it."""
    from finflow.pipelines.operating.history import history

    return {"definition": context.name, "decision": decision.to_dict(), "waiting": history(context)["waiting"]}


def alerts(home: Home, last: int) -> Outcome:
    from finflow.flows.deployments.alerts import read_alerts

    return {"alerts": read_alerts(home, last)}


def prune(home: Home, keep: str, yes: bool) -> Outcome:
    """What it will free is said before anything goes."""
    from finflow.flows.command_line.operating_pages import freed_lines
    from finflow.flows.display import DISPLAY
    from finflow.pipelines.operating.pruning.run import prune as free

    def say(planned: PruneResult) -> None:
        for line in freed_lines(planned.to_dict(), "will free"):
            DISPLAY.say(line)

    return free(home, keep, delete=yes, say=say if yes else None).to_dict()
