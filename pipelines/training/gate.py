"""The gate: one pure function from an evaluation and the state of a definition to a decision with a written reason.

It reads nothing and writes nothing. Who must beat whom, and why correcting over challengers alone is right, is in
`finflow.pipelines.evaluation.comparisons`.

Over time. A definition has one level for its whole life. The k-th decided challenge spends level * 6 / (pi^2 k^2), which adds up to the
level over any number of challenges (alpha spending; Foster and Stine, 2008, for the idea), and a new challenge is decided only after
`new_dates` new test dates: training again with another seed on the same dates is no new try. What is not a challenge spends nothing:
putting the reference back, refreshing the champion's own recipe, and demoting. Demoting errs to the safe side, so it is tested at the
full level in every run.

Where the definition asks for a person's approval, what moves the champion and makes nothing safer is not made but proposed: promoting,
putting the reference where nothing stands, and refreshing. Demoting waits for nobody. While a promotion waits the champion is not
refreshed, and after any proposal only as many new dates later as a refresh needs.

What is asked. Where the definition asks otherwise than the champion's version was made for (other quantiles, features, weights), or the
code makes other features of the same rows than it did then, that version answers no more, and its recipe competes refitted like the
others. If it stands it is refreshed at once, however few dates are new: it was compared, and there is no version to compare it with. If it
cannot be fitted or evaluated for what is asked now, it goes.

Checks. Where the definition names backtests, the problem says of each entry whether it passed, and the gate sees no more than that. Who
fails one is not promoted, however low its loss; a champion whose recipe fails one goes, and is not refreshed. Nor does the reference stand
if it fails: the baseline with the lowest loss that passes takes its place. Where none passes nothing is promoted, and a champion stays for
want of another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from finflow.pipelines.core.errors import FitError
from finflow.pipelines.core.manifests import CandidateEvaluation, Comparison, Decision, Evaluation
from finflow.pipelines.lake.waiting import NEEDS_A_PERSON, PENDING
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.training import gate_words as words


@dataclass(frozen=True)
class ChampionState:
    """The champion as the gate sees it.

    Attributes:
        entry: the name under which its recipe stands in the evaluation, or None if it does not.
        effective_as_of: ISO instant; what its version knew.
    """

    candidate: str
    version: int
    effective_as_of: str
    entry: str | None


@dataclass(frozen=True)
class History:
    """What was tried before.

    Attributes:
        challenges: number of challenges decided so far.
        new_dates: test dates of this evaluation after the last test date of the last decided challenge (all of them, if there was none).
        since_champion: test dates of this evaluation after the champion's version was made.
        since_proposal: and after the last version was made that a person was asked about since; None if none was.
        waiting: the version that waits for a person, if one does.
        waiting_as: what the gate said of it: promoted, reference or refreshed.
        proposal_answers: the last version that a person was asked about since the champion was made answers what is asked now.
    """

    challenges: int
    new_dates: int
    since_champion: int = 0
    since_proposal: int | None = None
    waiting: int | None = None
    waiting_as: str | None = None
    proposal_answers: bool = True


@dataclass(frozen=True)
class Refresh:
    """The champion's recipe, refitted, against its frozen version on `dates` dates after the frozen one's training ended.

    `effect` is the relative reduction of the loss by refitting (negative: worse), None where it cannot be said.
    """

    dates: int
    effect: float | None


@dataclass(frozen=True)
class _Verdict:
    """Whether a challenger takes the champion's place, and why (not)."""

    name: str
    passes: bool
    why: str


def level_to_spend(level: float, challenges: int) -> float:
    """The level of the next challenge after `challenges` decided ones; over all of them it adds up to `level`."""
    return level * 6.0 / (math.pi * (challenges + 1)) ** 2


def decide(
    evaluation: Evaluation,
    gate: Gate,
    champion: ChampionState | None,
    history: History,
    *,
    refresh: Refresh | None = None,
    changed: str | None = None,
    failed_check: str | None = None,
) -> Decision:
    """Decide who is champion after this evaluation.

    Args:
        refresh: how the refitted recipe did against the champion's frozen weights, where that was measured.
        changed: what is asked otherwise than the champion's version was made for, in words.
        failed_check: why the champion may not stay (its golden batch does not come out, or its recipe cannot be fitted for what is asked
            now), in words. Then it is decided without its recipe, too.

    Returns:
        The decision. `evidence["entry"]` is the evaluation's entry whose recipe is to be fitted and registered if it is `promoted` or
        pending.

    Raises:
        FitError: the reference was not evaluated.
    """
    entries = {one.candidate: one for one in evaluation.candidates}
    reference = entries.get(evaluation.reference)
    if reference is None or reference.invalid:
        raise FitError(f"the reference {evaluation.reference!r} was not evaluated: nothing can be decided.")
    if champion is not None and pd.Timestamp(evaluation.as_of) < pd.Timestamp(champion.effective_as_of):
        return _decision(
            "historical", champion, words.historical(evaluation, champion.candidate, champion.version, champion.effective_as_of)
        )
    # the champion's recipe could not be fitted at all: it goes without having been compared
    left_out = failed_check is not None and champion is not None and champion.entry is None and evaluation.champion is None
    if champion is not None and not left_out and (champion.entry not in entries or champion.entry != evaluation.champion):
        return _decision("kept", champion, words.not_compared(champion.candidate))

    closed = _closed(evaluation, gate, history)
    level = 0.0 if closed else level_to_spend(gate.level, history.challenges)
    challenge = 0 if closed else history.challenges + 1
    verdicts = [] if closed else [_judge(one, gate, level) for one in evaluation.candidates if one.must_beat or one.invalid]
    winners = [entries[verdict.name] for verdict in verdicts if verdict.passes]
    evidence: dict[str, Any] = {
        "level": level,
        "challenge": challenge,
        "new_dates": history.new_dates,
        "dates": evaluation.dates,
        "not_decided": closed,
        "challengers": {verdict.name: verdict.why for verdict in verdicts},
        "comparisons": {one.candidate: [comparison.to_dict() for comparison in one.comparisons] for one in evaluation.candidates},
        "adjusted_p": {one.candidate: one.adjusted_p for one in evaluation.candidates},
    }
    if changed:
        evidence["changed"] = changed
    if gate.backtests:
        evidence["checks"] = {one.candidate: {check.name: check.passed for check in one.checks} for one in evaluation.candidates}
    tried = words.tried(evaluation, gate, level, challenge) if challenge else closed or ""

    def made(verdict: str, name: str, entry: str, reason: str) -> Decision:
        if gate.approval == "required" and verdict in NEEDS_A_PERSON:
            asked = {"proposed": verdict, "accepted": reason, "four_eyes": gate.four_eyes, "supersedes": history.waiting}
            waits = words.waits(verdict, reason, gate, history.waiting)
            return Decision(PENDING, False, name, waits, level, challenge, {**evidence, "entry": entry, **asked})
        moves = verdict != "kept"
        return Decision(verdict, moves, name, reason, level, challenge, {**evidence, "entry": entry})

    incumbent = entries[champion.entry] if champion is not None and champion.entry else reference
    # the evaluation's order: the lowest loss first. A candidate that passes beats every baseline, so it goes before a baseline that passes.
    winners.sort(key=lambda one: one.baseline)
    if winners:
        best = winners[0]
        reason = words.promoted(best, incumbent, tried, [one.candidate for one in winners])
        return made("promoted", best.candidate, best.candidate, reason)
    standing = _standing(evaluation)
    if champion is None:
        if standing is None:
            return Decision("refused", False, "", words.refused(reference, verdicts, tried), level, challenge, evidence)
        return made("reference", standing.candidate, standing.candidate, words.reference(evaluation, verdicts, tried, standing))
    demoted = _demotion(evaluation, gate, incumbent, _unfit(incumbent, changed) or failed_check, standing)
    if demoted is not None:
        successor, why = demoted
        return made(
            "demoted", successor, successor, f"{champion.candidate} is demoted: {why} {words.stands(successor, evaluation)} {tried}"
        )
    if left_out:
        reason = words.nobody_follows(champion.candidate, str(failed_check), tried)
        return Decision("kept", False, champion.candidate, reason, level, challenge, evidence)
    stays = words.kept(evaluation, champion.candidate, incumbent, verdicts, tried)
    fresh, why = _refreshed(gate, history, incumbent, refresh, changed)
    evidence["refresh"] = why
    entry = champion.entry or champion.candidate
    return made("refreshed" if fresh else "kept", champion.candidate, entry, f"{why} {stays}")


def _decision(verdict: str, champion: ChampionState, reason: str) -> Decision:
    return Decision(verdict, False, champion.candidate, reason, 0.0, 0, {})


def _closed(evaluation: Evaluation, gate: Gate, history: History) -> str | None:
    """Why no challenge is decided in this run, or None if one is."""
    if evaluation.dates < gate.minimum_dates:
        return f"No challenge was decided: there are {evaluation.dates} test dates, and the gate decides from {gate.minimum_dates} on."
    if history.challenges and history.new_dates < gate.new_dates:
        return (
            f"No challenge was decided: {history.new_dates} test dates are new since challenge {history.challenges}, and the next is "
            f"decided after {gate.new_dates}."
        )
    return None


def _judge(entry: CandidateEvaluation, gate: Gate, level: float) -> _Verdict:
    """The comparison, and then the checks: both must be passed."""
    found = _compared(entry, gate, level)
    if not entry.failed_checks:
        return found
    return _Verdict(found.name, False, f"{found.why}, {'but' if found.passes else 'and'} fails: {words.failed(entry)}")


def _standing(evaluation: Evaluation) -> CandidateEvaluation | None:
    """Who stands where nothing better does: the reference, or the baseline with the lowest loss that passes its checks; None: nobody."""
    passing = [one for one in evaluation.candidates if one.baseline and not one.invalid and not one.failed_checks]
    return next((one for one in passing if one.candidate == evaluation.reference), passing[0] if passing else None)


def _compared(entry: CandidateEvaluation, gate: Gate, level: float) -> _Verdict:
    """Significance after correction, and the minimum effect, against everything that the entry must beat."""
    if entry.invalid:
        return _Verdict(entry.candidate, False, f"cannot be compared: {entry.invalid}")
    rivals = [one for one in entry.comparisons if one.against in entry.must_beat]
    weakest = min(rivals, key=lambda one: -math.inf if one.statistic is None else -one.statistic)
    if any(one.statistic is None or one.p_value is None or one.effect is None for one in rivals):
        return _Verdict(entry.candidate, False, f"cannot be told from {weakest.against}")
    p_value = 1.0 if entry.adjusted_p is None else entry.adjusted_p
    if p_value > level or any((one.p_value or 0.0) > level for one in rivals):
        return _Verdict(entry.candidate, False, f"not better than {weakest.against} ({words.against(weakest, p_value)})")
    small = min(rivals, key=lambda one: one.effect or 0.0)
    if (small.effect or 0.0) < gate.minimum_effect:
        return _Verdict(entry.candidate, False, f"better than {small.against} by too little ({words.against(small, p_value)})")
    beaten = ", ".join(one.against for one in rivals)
    return _Verdict(entry.candidate, True, f"beats {beaten} ({words.against(weakest, p_value)} against {weakest.against}, the closest)")


def _demotion(
    evaluation: Evaluation, gate: Gate, incumbent: CandidateEvaluation, failed_check: str | None, standing: CandidateEvaluation | None
) -> tuple[str, str] | None:
    """Who follows a champion that may not stay, and why it may not; None if it may.

    A champion that is no baseline goes when a baseline beats it: one-sided, at the definition's level shared over the baselines
    (Bonferroni). The best of those that beat it follows if it beats the reference too; else the reference, or who stands in for it.
    """
    if standing is None:
        return None
    if failed_check:
        return standing.candidate, f"a check failed: {failed_check.rstrip('.')}."
    if incumbent.failed_checks:
        return standing.candidate, f"it fails: {words.failed(incumbent)}."
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
    why = "; ".join(f"{one.candidate} beats it ({words.against(found)})" for one, found in better) + "."
    for one, _ in better:
        if one.candidate == evaluation.reference:
            return one.candidate, why
        ahead = _against(one, evaluation.reference)
        if _significant(ahead, level) and (ahead.effect or 0.0) >= gate.minimum_effect:
            return one.candidate, why
    return standing.candidate, why


def _against(entry: CandidateEvaluation, other: str) -> Comparison:
    return next(one for one in entry.comparisons if one.against == other)


def _significant(one: Comparison, level: float) -> bool:
    return one.statistic is not None and one.p_value is not None and one.p_value <= level


def _unfit(incumbent: CandidateEvaluation, changed: str | None) -> str | None:
    """Why a champion may not stay whose version answers no more what is asked, and whose recipe says nothing to it."""
    if changed is None or not incumbent.invalid:
        return None
    return f"what is asked has changed ({changed}), and its recipe cannot be evaluated for it: {incumbent.invalid}"


def _refreshed(
    gate: Gate, history: History, incumbent: CandidateEvaluation, refresh: Refresh | None, changed: str | None
) -> tuple[bool, str]:
    """Whether the champion's recipe, fitted on newer data or for what is asked now, takes its place; and why (not)."""
    if incumbent.invalid:
        return False, f"Its recipe could not be evaluated ({incumbent.invalid}), so its version is not refreshed."
    if incumbent.failed_checks:
        return (
            False,
            f"No refresh, and nothing to put in its place: no baseline passes its checks either. It fails: {words.failed(incumbent)}.",
        )
    open_to_a_person = changed is None or history.proposal_answers
    if history.waiting_as == "promoted" and open_to_a_person:
        return False, f"No refresh: version {history.waiting} waits for a person."
    dates = history.since_champion if refresh is None else refresh.dates
    if history.since_proposal is not None and history.since_proposal < gate.refresh_dates and open_to_a_person:
        return False, (
            f"No refresh: {history.since_proposal} test dates since the last version was made that a person was asked about, and "
            f"{gate.refresh_dates} are needed."
        )
    if changed is not None:
        return True, words.asked_anew(changed)
    if dates < gate.refresh_dates:
        return False, f"No refresh: {dates} test dates since its version was made, and {gate.refresh_dates} are needed."
    if refresh is None:
        return True, f"Its recipe is fitted again on {dates} more dates."
    if refresh.effect is None or refresh.effect < -gate.minimum_effect:
        return False, words.refresh_refused(refresh.dates, refresh.effect, gate.minimum_effect)
    return True, words.refresh_accepted(refresh.dates, refresh.effect, gate.minimum_effect)
