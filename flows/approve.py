"""The flow behind the form with which a person decides about a version that waits."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow

from finflow.flows.runs.events import announce_rejection
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.operating.approval import approve, reject


@flow(name="approve", flow_run_name="{verdict} {name} version {version}", validate_parameters=True)
def approve_flow(name: str, version: int, by: str, why: str, verdict: Literal["approve", "reject"] = "approve") -> dict[str, Any]:
    """Promote the version that waits, or refuse it; who and why are kept with the decision.

    Args:
        name: the definition.
        version: the version that waits.
        by: who decides.
        why: the reason, for the record.
        verdict: what is decided.
    """
    context = open_context(load_definition(name), Home.from_environment())
    decide = {"approve": approve, "reject": reject}[verdict]
    decision = decide(context, version, by, why)
    if verdict == "reject":
        announce_rejection(context.definition, decision, version)
    return {"definition": context.name, "decision": decision.to_dict()}
