"""What a failed leakage check makes of a decision: nobody is promoted or refreshed on figures that may know the future."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.manifests import Decision
from finflow.pipelines.leakage.check import LeakageReport

if TYPE_CHECKING:
    from finflow.pipelines.training.gate import ChampionState


def with_leakage(decision: Decision, report: LeakageReport | None, champion: ChampionState | None) -> Decision:
    """The decision with the check as evidence; where the check failed, nothing moves, no challenge is decided and no level spent.

    Args:
        report: None where no check was made (a walk forward).
        champion: the one that stays, if there is one.
    """
    if report is None:
        return decision
    evidence: dict[str, Any] = {**decision.evidence, "leakage": report.to_dict()}
    if report.passed or decision.verdict == "historical":
        return replace(decision, evidence=evidence)
    why = f"No challenge was decided: the leakage check failed. {leaks(report)}."
    stays = "There is no champion" if champion is None else f"{champion.candidate} stays champion"
    return Decision(
        verdict="refused" if champion is None else "kept",
        promoted=False,
        candidate="" if champion is None else champion.candidate,
        reason=f"Nobody is promoted or refreshed. {why} {stays}; `finflow check-leakage` says more.",
        level=0.0,
        challenge=0,
        evidence={**evidence, "level": 0.0, "challenge": 0, "not_decided": why},
    )


def leaks(report: LeakageReport) -> str:
    """What a failed check found, in words."""
    failed = [check for check in report.checks if check.tried and not check.passed]
    return "; ".join(f"not so: {check.name} ({check.detail})" for check in failed)


def leakage_lines(evidence: dict[str, Any]) -> list[str]:
    """The check as a section of the report; nothing where none was made."""
    found = evidence.get("leakage")
    if found is None:
        return []
    said = {True: "passed", False: "**FAILED**"}
    lines = [
        f"- {said[check['passed']] if check['tried'] else 'not tried'}: {check['name']}: {check['detail']}." for check in found["checks"]
    ]
    blocked = [] if found["passed"] else ["", "**Nothing was promoted or refreshed: the figures above may know the future.**"]
    return ["", "## Leakage", "", *lines, *blocked]
