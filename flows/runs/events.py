"""finflow's own events: what happened to a definition that somebody may want to be told (infra/automations.yaml)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.redaction import redacted
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finflow.pipelines.core.manifests import Decision, RawManifest
    from finflow.pipelines.training.conclusion import Conclusion

LATE_DATA = "finflow.late-data"
AWAITS = "finflow.awaiting-data"
QUARANTINE = "finflow.quarantine"
REFUSED = "finflow.promotion-refused"
WAITS = "finflow.approval-needed"
DEMOTED = "finflow.demoted"
DRIFT = "finflow.drift"
STALE = "finflow.stale-data"

#: verdicts after which the challengers that were tried have not taken the champion's place
_NOT_TAKEN = ("kept", "refreshed", "reference", "refused")


def emit(event: str, definition: Definition, text: str, **details: Any) -> None:
    """Send an event about a definition to the Prefect server: `text` says in one line what happened."""
    from prefect.events import emit_event

    resource = {"prefect.resource.id": f"finflow.definition.{definition.name}", "prefect.resource.name": definition.name}
    emit_event(event, resource=resource, payload={"text": redacted(text), **details})


def announce_wait(run_id: Any, text: str) -> None:
    """An event about a run that ends its attempt for want of data: whoever watches for silent runs must not take it for a dead one.

    Prefect sends one of the new state, too. But one that follows another which it never sent (of a run's first state, where a schedule
    made the run in the last five minutes) is held back for a quarter of an hour.
    """
    from prefect.events import emit_event

    emit_event(AWAITS, resource={"prefect.resource.id": f"prefect.flow-run.{run_id}"}, payload={"text": redacted(text)})


def announce_decision(definition: Definition, conclusion: Conclusion) -> None:
    """An event where challengers were tried in vain, where a version waits for a person, or where the champion was demoted."""
    decision = conclusion.decision
    kind = WAITS if decision.verdict == "pending" else DEMOTED if decision.verdict == "demoted" else None
    if decision.verdict in _NOT_TAKEN and decision.challenge and decision.evidence.get("challengers"):
        kind = REFUSED
    if kind is not None:
        text = f"{definition.name}: {decision.verdict}. {decision.reason}"
        emit(kind, definition, text, verdict=decision.verdict, challenge=decision.challenge)


def announce_rejection(definition: Definition, decision: Decision, version: int) -> None:
    """An event where a person refused a version."""
    emit(REFUSED, definition, f"{definition.name}: {decision.verdict}. {decision.reason}", verdict=decision.verdict, version=version)


@contextmanager
def watched_quarantine(context: Context, raw: RawManifest) -> Iterator[None]:
    """An event if the block puts more than the definition's share of the rows that came into quarantine.

    Rows are counted once, by the run that quarantines them: the same rows seen again the next night raise nothing.
    """

    definition = context.definition
    lake, table = context.lake, f"quarantine/{definition.name}"
    before = lake.version(table)
    yield
    after = lake.version(table)
    if after == before:
        return
    count = len(lake.read(table, version=after, columns=["time"]))
    fresh = count - (0 if before is None else len(lake.read(table, version=before, columns=["time"])))
    share = fresh / max(1, raw.added or raw.rows, fresh)
    if share > definition.monitoring.quarantined:
        text = f"{definition.name}: {fresh:,} rows were put into quarantine, {share:.1%} of those that came. {_rules(lake, table, fresh)}"
        emit(QUARANTINE, definition, text, rows=fresh, share=share)


def _rules(lake: Any, table: str, newest: int) -> str:
    rules = lake.read(table, columns=["rules"])["rules"].tail(newest)
    counted = rules.str.split(",").explode().value_counts()
    return "Rules broken: " + ", ".join(f"{rule} ({count:,})" for rule, count in counted.head(5).items()) + "."
