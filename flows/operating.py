"""What the commands that operate finflow do: servers, monitoring, approval, alerts, pruning. Imports are late, for a quick start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.home import Home

if TYPE_CHECKING:
    from pipelines.definition import Definition
    from pipelines.manifests import Decision
    from pipelines.prune import PruneResult

Outcome = dict[str, Any]


def up(home: Home, names: list[str], check: bool) -> Outcome:
    """Start what does not run yet, or only look."""
    from flows.stack import check_stack, start_stack

    return check_stack(home) if check else start_stack(home, names)


def down(home: Home) -> Outcome:
    from flows.stack import stop_stack

    return stop_stack(home)


def monitor(home: Home, name: str, as_of: str | None) -> Outcome:
    from flows.called import called
    from flows.display import DISPLAY
    from flows.server import prefect_server
    from pipelines.early_checks import check_monitor
    from pipelines.known_definitions import load_and_remember

    check_monitor(load_and_remember(name, home), home, as_of)
    with prefect_server(home), DISPLAY.live():
        from flows.monitor import monitor_flow

        return called(monitor_flow(name, as_of))


def approve(home: Home, name: str, version: int, by: str, why: str) -> Outcome:
    from pipelines.approval import approve as decide
    from pipelines.known_definitions import load_and_remember

    definition = load_and_remember(name, home)
    return _decided(home, definition, decide(definition, home, version, by, why))


def reject(home: Home, name: str, version: int, by: str, why: str) -> Outcome:
    from pipelines.approval import reject as decide
    from pipelines.known_definitions import load_and_remember

    definition = load_and_remember(name, home)
    decision = decide(definition, home, version, by, why)
    if home.prefect_api:  # where servers run, somebody may want to be told
        from flows.events import announce_rejection
        from flows.server import send_what_is_queued

        announce_rejection(definition, decision, version)
        send_what_is_queued()
    return _decided(home, definition, decision)


def _decided(home: Home, definition: Definition, decision: Decision) -> Outcome:
    """The decision, and what waits after it."""
    from pipelines.history import history

    return {"definition": definition.name, "decision": decision.to_dict(), "waiting": history(definition, home)["waiting"]}


def alerts(home: Home, last: int) -> Outcome:
    from flows.alerts import read_alerts

    return {"alerts": read_alerts(home, last)}


def prune(home: Home, keep: str, yes: bool) -> Outcome:
    """What it will free is said before anything goes."""
    from flows.display import DISPLAY
    from flows.operating_pages import freed_lines
    from pipelines.prune import prune as free

    def say(planned: PruneResult) -> None:
        for line in freed_lines(planned.to_dict(), "will free"):
            DISPLAY.say(line)

    return free(home, keep, delete=yes, say=say if yes else None).to_dict()
