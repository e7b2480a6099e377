"""Who passes in one challenge, who stands where nobody does, and who follows a champion that goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from finflow.pipelines.core.manifests import CandidateEvaluation, Comparison, Evaluation
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.training import gate_words as words


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger takes the champion's place, and why (not)."""

    name: str
    passes: bool
    why: str


def judge(entry: CandidateEvaluation, gate: Gate, level: float) -> Verdict:
    """The comparison, and then the checks: both must be passed."""
    found = _compared(entry, gate, level)
    if not entry.failed_checks:
        return found
    return Verdict(found.name, False, f"{found.why}, {'but' if found.passes else 'and'} fails: {words.failed(entry)}")


def standing(evaluation: Evaluation) -> CandidateEvaluation | None:
    """Who stands where nothing better does: the reference, or the baseline with the lowest loss that passes its checks; None: nobody."""
    passing = [one for one in evaluation.candidates if one.baseline and not one.invalid and not one.failed_checks]
    return next((one for one in passing if one.candidate == evaluation.reference), passing[0] if passing else None)


def _compared(entry: CandidateEvaluation, gate: Gate, level: float) -> Verdict:
    """Significance after correction, the minimum effect, and an effect without the best dates, against everything that it must beat."""
    if entry.invalid:
        return Verdict(entry.candidate, False, f"cannot be compared: {entry.invalid}")
    rivals = [one for one in entry.comparisons if one.against in entry.must_beat]
    weakest = min(rivals, key=lambda one: -math.inf if one.statistic is None else -one.statistic)
    if any(one.statistic is None or one.p_value is None or one.effect is None for one in rivals):
        return Verdict(entry.candidate, False, f"cannot be told from {weakest.against}")
    p_value = 1.0 if entry.adjusted_p is None else entry.adjusted_p
    if p_value > level or any((one.p_value or 0.0) > level for one in rivals):
        return Verdict(entry.candidate, False, f"not better than {weakest.against} ({words.against(weakest, p_value)})")
    small = min(rivals, key=lambda one: one.effect or 0.0)
    if (small.effect or 0.0) < gate.minimum_effect:
        return Verdict(entry.candidate, False, f"better than {small.against} by too little ({words.against(small, p_value)})")
    lucky = min(rivals, key=_without_best)
    if _without_best(lucky) <= 0:
        return Verdict(entry.candidate, False, f"better than {lucky.against} {words.by_few_dates(lucky)} ({words.against(lucky, p_value)})")
    beaten = ", ".join(one.against for one in rivals)
    return Verdict(entry.candidate, True, f"beats {beaten} ({words.against(weakest, p_value)} against {weakest.against}, the closest)")


def demotion(evaluation: Evaluation, gate: Gate, incumbent: CandidateEvaluation, failed_check: str | None) -> tuple[str, str] | None:
    """Who follows a champion that may not stay, and why it may not; None if it may.

    A champion that is no baseline goes when a baseline beats it: one-sided, at the definition's level shared over the baselines
    (Bonferroni). The reference follows, or who stands in for it. Another baseline has to win a challenge for that: demoting is tried in
    every training and spends no level, so whoever is tried often enough would get in by it.
    """
    successor = standing(evaluation)
    if successor is None:
        return None
    if failed_check:
        return successor.candidate, f"a check failed: {failed_check.rstrip('.')}."
    if incumbent.failed_checks:
        return successor.candidate, f"it fails: {words.failed(incumbent)}."
    baselines = [
        one
        for one in evaluation.candidates
        if one.baseline and not one.invalid and not one.failed_checks and one.candidate != incumbent.candidate
    ]
    if incumbent.baseline or incumbent.invalid:
        return None
    level = gate.level / max(1, len(baselines))
    better = [(one, found) for one in baselines if _significant(found := _against(one, incumbent.candidate), level)]
    if not better:
        return None
    return successor.candidate, "; ".join(f"{one.candidate} beats it ({words.against(found)})" for one, found in better) + "."


def _against(entry: CandidateEvaluation, other: str) -> Comparison:
    return next(one for one in entry.comparisons if one.against == other)


def _without_best(one: Comparison) -> float:
    """The effect without the best dates; what cannot be said holds nothing."""
    return -math.inf if one.effect_without_best is None else one.effect_without_best


def _significant(one: Comparison, level: float) -> bool:
    return one.statistic is not None and one.p_value is not None and one.p_value <= level
