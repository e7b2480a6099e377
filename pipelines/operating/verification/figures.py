"""A decision recomputed: its comparisons, corrected p-values and effects from the losses that it was made on, and who passes the gate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.manifests import CandidateEvaluation, Check
from finflow.pipelines.evaluation.comparisons import Compared
from finflow.pipelines.evaluation.decided import METHOD, Terms, compare_decided
from finflow.pipelines.lake.decided_losses import DecidedLosses
from finflow.pipelines.lake.pending import PENDING
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.training.challengers import judge

#: another processor may round otherwise, and nothing that bears on a decision
RELATIVE = 1e-9
PASSED, FAILED = "passed", "FAILED"


def check_losses(kept: DecidedLosses, row: PromotionRow) -> tuple[str, str]:
    """Whether the losses of a decision are those that it was made on, and whether its figures and its verdict follow from them.

    Returns:
        For each of the two: `passed`, `FAILED: ...`, or why it cannot be said.
    """
    if not row.decided_on:
        why = "recorded before losses were kept" if row.challenge else "no losses: no training decided"
        return why, why
    fault = None
    for part, evidence in ((row.decided_on, row.evidence), (row.decided_on.get("safety"), row.evidence.get("safety"))):
        if part is None:
            continue
        try:
            _, losses = kept.read(part)
        except StateError as error:
            return f"{FAILED}: {error}", f"{FAILED}: there are no losses to recompute it from"
        terms = Terms.from_dict(part)
        if terms.method != METHOD:
            told = f"decided by method {terms.method} of comparing, and this finflow has method {METHOD}: the one that decided can tell"
            return PASSED, told
        if "comparisons" not in (evidence or {}):
            return PASSED, "it rests on no comparison"
        compared = compare_decided(losses, terms)
        fault = fault or _figures_fault(compared, evidence or {}, terms)
        if part is row.decided_on:
            fault = fault or _verdict_fault(compared, row)
    return PASSED, f"{FAILED}: {fault}" if fault else PASSED


def _figures_fault(compared: Mapping[str, Compared], evidence: Mapping[str, Any], terms: Terms) -> str | None:
    """The first recorded figure that does not come out, in words."""
    for name, one in compared.items():
        kept = {recorded["against"]: recorded for recorded in evidence["comparisons"].get(name, ())}
        if set(kept) != {found.against for found in one.comparisons}:
            return f"{name} is compared with {len(one.comparisons)} others, and the record says with {', '.join(kept) or 'none'}"
        for found in one.comparisons:
            recorded = kept[found.against]
            for key, value in found.to_dict().items():
                if key in recorded and not _same(value, recorded[key]):
                    return f"{name} against {found.against}: {key} comes out as {value}, and {recorded[key]} was recorded"
        # a draw that lies at the statistic itself may count on one processor and not on another
        if not _same(one.adjusted_p, evidence["adjusted_p"].get(name), 2.0 / (terms.replications + 1)):
            return f"{name}: the corrected p-value comes out as {one.adjusted_p}, and {evidence['adjusted_p'].get(name)} was recorded"
    return None


def _verdict_fault(compared: Mapping[str, Compared], row: PromotionRow) -> str | None:
    """Why the gate would not have decided so on these figures, in words; who is promoted or not is all that they tell."""
    if not row.challenge:
        return None
    gate = Gate.model_validate(row.decided_on["gate"])
    entries = [_entry(name, one, row) for name, one in compared.items()]
    passing = [one.candidate for one in entries if (one.must_beat or one.invalid) and judge(one, gate, row.level).passes]
    promotes = row.verdict == "promoted" or (row.verdict == PENDING and row.evidence.get("proposed") == "promoted")
    chosen = row.evidence.get("entry") if promotes else None
    if chosen in passing or not (passing or promotes):
        return None
    return f"{', '.join(passing) or 'nobody'} passes the gate at level {row.level:.4g}, and {chosen or 'nobody'} was promoted"


def _entry(name: str, one: Compared, row: PromotionRow) -> CandidateEvaluation:
    """What the gate sees of an entry."""
    failed = row.decided_on["failed_checks"].get(name, ())
    return CandidateEvaluation(
        candidate=name,
        family="",
        model="",
        baseline=row.decided_on["baselines"][name],
        recipe={},
        recipe_digest="",
        seeds=0,
        metrics=(),
        fold_losses={},
        seed_losses={},
        comparisons=one.comparisons,
        invalid=row.decided_on["invalid"].get(name),
        must_beat=one.must_beat,
        adjusted_p=one.adjusted_p,
        checks=tuple(Check(check, False, "") for check in failed),
    )


def _same(found: Any, recorded: Any, near: float = 1e-12) -> bool:
    if isinstance(found, float) and isinstance(recorded, (int, float)):
        return math.isclose(found, recorded, rel_tol=RELATIVE, abs_tol=near)
    return bool(found == recorded)
