"""The gate: one pure function from an evaluation and the state of a definition to a decision with a written reason.

It reads nothing and writes nothing. Who must beat whom, and why correcting over challengers alone is right, is in
`finflow.pipelines.evaluation.comparisons`.

Over time. Data have one level for their whole life, whatever name they go by: the lowest that was ever declared for them. The k-th
challenge that is opened on them spends level * 6 / (pi^2 k^2), which adds up to the level over any number of challenges (alpha spending;
Foster and Stine, 2008, for the idea). The first is decided on all test dates, if nobody looked at them before; every later one on those
alone that nobody has looked at (see `finflow.pipelines.lake.looks`), and it opens when there are `new_dates` of them. What is no challenge
spends nothing: putting the reference back, refreshing the champion's own recipe, and demoting. Demoting errs to the safe side, so it is
tested at the full level in every run, on all test dates.

Where the definition asks for a person's approval, what moves the champion and makes nothing safer is not made but proposed: promoting,
putting the reference where nothing stands, and refreshing. Demoting waits for nobody. While a promotion waits the champion is not
refreshed, and after any proposal only as many new dates later as a refresh needs.

Refreshing. The refitted recipe may not be worse by more than the minimum effect than the champion's version on the dates after its
training ended. These are few, and what is worse passes often; so the same holds against the first version of this champion, on the dates
after *its* training ended, and many small steps lead no further down than one.

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

from dataclasses import dataclass
from typing import Any

import pandas as pd

from finflow.pipelines.core.errors import FitError
from finflow.pipelines.core.manifests import CandidateEvaluation, Decision, Evaluation
from finflow.pipelines.lake.pending import NEEDS_A_PERSON, PENDING
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.training import gate_words as words
from finflow.pipelines.training.challengers import Verdict, demotion, judge, standing
from finflow.pipelines.training.spending import closed, decided_dates, level_to_spend


@dataclass(frozen=True)
class Refresh:
    """The champion's recipe, refitted, against its frozen version on `dates` dates after the frozen one's training ended.

    `effect` is the relative reduction of the loss by refitting (negative: worse), None where it cannot be said. `version` is the frozen
    one's, where it is not the champion's.
    """

    dates: int
    effect: float | None
    version: int | None = None


@dataclass(frozen=True)
class ChampionState:
    """The champion as the gate sees it.

    Attributes:
        effective_as_of: ISO instant; what its version knew.
        entry: the name under which its recipe stands in the evaluation, or None if it does not.
        refresh: how the refitted recipe did against its frozen weights, where that was measured.
        first: how it did against the first version of this champion, where there is an earlier one that can be compared.
        no_first: why one of the earlier ones cannot be, in words.
        changed: what is asked otherwise than its version was made for, in words.
        failed_check: why it may not stay (its golden batch does not come out, or its recipe cannot be fitted for what is asked now), in
            words. Then it is decided without its recipe, too.
    """

    candidate: str
    version: int
    effective_as_of: str
    entry: str | None
    refresh: Refresh | None = None
    first: Refresh | None = None
    no_first: str | None = None
    changed: str | None = None
    failed_check: str | None = None

    @property
    def unfitted(self) -> bool:
        """Whether its recipe could not be fitted at all: it goes without having been compared."""
        return self.failed_check is not None and self.entry is None


@dataclass(frozen=True)
class History:
    """What was tried before.

    Attributes:
        challenges: number of challenges opened on these data so far.
        new_dates: test dates that nobody had looked at (all of them, if nobody looked).
        since_champion: test dates of this evaluation after the champion's version was made.
        since_proposal: and after the last version was made that a person was asked about since; None if none was.
        waiting: the version that waits for a person, if one does.
        waiting_as: what the gate said of it: promoted, reference or refreshed.
        proposal_answers: the last version that a person was asked about since the champion was made answers what is asked now.
        looks: at these data before.
        level: the lowest ever declared for these data; None: the gate's own.
        spent: the level spent on these data so far.
    """

    challenges: int
    new_dates: int
    since_champion: int = 0
    since_proposal: int | None = None
    waiting: int | None = None
    waiting_as: str | None = None
    proposal_answers: bool = True
    looks: int = 0
    level: float | None = None
    spent: float = 0.0


@dataclass(frozen=True)
class _Trial:
    """The challenge of one run, judged, and the decisions that may follow from it.

    Attributes:
        safety: the champion's recipe and the baselines on all test dates.
        level, challenge: what the challenge spends, and its number; 0 where none is decided.
        verdicts: of every challenger.
        tried: what was tried, in words.
    """

    evaluation: Evaluation
    safety: Evaluation
    gate: Gate
    history: History
    level: float
    challenge: int
    verdicts: tuple[Verdict, ...]
    tried: str
    evidence: dict[str, Any]

    @property
    def winners(self) -> list[CandidateEvaluation]:
        """Those that take the champion's place, the best first.

        It is the evaluation's order, the lowest loss first; but a candidate that passes beats every baseline, so it goes before a baseline
        that passes.
        """
        passing = {verdict.name for verdict in self.verdicts if verdict.passes}
        return sorted((one for one in self.evaluation.candidates if one.candidate in passing), key=lambda one: one.baseline)

    def decided(self, verdict: str, name: str, reason: str, *, entry: str | None = None, **evidence: Any) -> Decision:
        """The decision, or its proposal where a person is asked first. `entry` is whose recipe is to be fitted, where not `name`'s."""
        found, gate, waiting = {**self.evidence, **evidence, "entry": entry or name}, self.gate, self.history.waiting
        if gate.approval == "required" and verdict in NEEDS_A_PERSON:
            asked = {"proposed": verdict, "accepted": reason, "four_eyes": gate.four_eyes, "supersedes": waiting}
            waits = words.waits(verdict, reason, gate, waiting)
            return Decision(PENDING, False, name, waits, self.level, self.challenge, {**found, **asked})
        return Decision(verdict, verdict != "kept", name, reason, self.level, self.challenge, found)

    def nothing(self, verdict: str, name: str, reason: str) -> Decision:
        """A decision that fits and moves nothing."""
        return Decision(verdict, False, name, reason, self.level, self.challenge, self.evidence)


def decide(
    evaluation: Evaluation, gate: Gate, champion: ChampionState | None, history: History, safety: Evaluation | None = None
) -> Decision:
    """Decide who is champion after this evaluation.

    Args:
        safety: the champion's recipe and the baselines on all test dates, by which they stand or go; None: the evaluation says it.

    Returns:
        The decision. `evidence["entry"]` is the evaluation's entry whose recipe is to be fitted and registered if it is `promoted` or
        pending.

    Raises:
        FitError: the reference was not evaluated.
    """
    safety = safety or evaluation
    entries = {one.candidate: one for one in safety.candidates}
    reference = entries.get(evaluation.reference)
    if reference is None or reference.invalid:
        raise FitError(f"the reference {evaluation.reference!r} was not evaluated: nothing can be decided.")
    if champion is not None:
        undecided = _undecided(safety, champion)
        if undecided is not None:
            return undecided
    trial = _tried(evaluation, safety, gate, history, None if champion is None else champion.changed)
    incumbent = entries[champion.entry] if champion is not None and champion.entry else reference
    if trial.winners:
        best, names = trial.winners[0], [one.candidate for one in trial.winners]
        return trial.decided("promoted", best.candidate, words.promoted(best, incumbent, trial.tried, names))
    return _first(trial, reference) if champion is None else _about(trial, champion, incumbent)


def _undecided(evaluation: Evaluation, champion: ChampionState) -> Decision | None:
    """The decision about an evaluation that cannot touch the champion: older than it, or made without its recipe; None: it can."""
    name = champion.candidate
    if pd.Timestamp(evaluation.as_of) < pd.Timestamp(champion.effective_as_of):
        reason = words.historical(evaluation, name, champion.version, champion.effective_as_of)
        return Decision("historical", False, name, reason, 0.0, 0, {})
    if champion.unfitted and evaluation.champion is None:
        return None
    if champion.entry not in {one.candidate for one in evaluation.candidates} or champion.entry != evaluation.champion:
        return Decision("kept", False, name, words.not_compared(name), 0.0, 0, {})
    return None


def _tried(evaluation: Evaluation, safety: Evaluation, gate: Gate, history: History, changed: str | None) -> _Trial:
    """Judge every challenger, if a challenge is decided in this run."""
    why = closed(gate, evaluation.dates + evaluation.sealed, history.new_dates, max(history.looks, history.challenges))
    declared = gate.level if history.level is None else history.level
    level = 0.0 if why else level_to_spend(declared, history.challenges)
    challenge = 0 if why else history.challenges + 1
    verdicts = () if why else tuple(judge(one, gate, level) for one in evaluation.candidates if one.must_beat or one.invalid)
    evidence: dict[str, Any] = {
        "level": level,
        "challenge": challenge,
        "new_dates": history.new_dates,
        "dates": evaluation.dates + evaluation.sealed,
        "not_decided": why,
        "looks": {
            "before": history.looks,
            "unseen": history.new_dates,
            "sealed": evaluation.sealed,
            "until": None if evaluation.sight is None else evaluation.sight.until,
            "decided_after": evaluation.decided_after,
            "decided": decided_dates(evaluation) if challenge else None,
            "lowest_level": declared,
            "level_spent": history.spent + level,
        },
        "challengers": {verdict.name: verdict.why for verdict in verdicts},
        "comparisons": {one.candidate: [comparison.to_dict() for comparison in one.comparisons] for one in evaluation.candidates},
        "adjusted_p": {one.candidate: one.adjusted_p for one in evaluation.candidates},
    }
    if safety is not evaluation:
        evidence["safety"] = {
            "comparisons": {one.candidate: [comparison.to_dict() for comparison in one.comparisons] for one in safety.candidates},
            "adjusted_p": {one.candidate: one.adjusted_p for one in safety.candidates},
        }
    if changed:
        evidence["changed"] = changed
    if gate.backtests:
        evidence["checks"] = {one.candidate: {check.name: check.passed for check in one.checks} for one in evaluation.candidates}
    tried = words.tried(evaluation, gate, level, challenge) if challenge else why or ""
    return _Trial(evaluation, safety, gate, history, level, challenge, verdicts, tried, evidence)


def _first(trial: _Trial, reference: CandidateEvaluation) -> Decision:
    """Where nobody stands, and no challenger passes."""
    verdicts, best = trial.verdicts, standing(trial.safety)
    if best is None:
        return trial.nothing("refused", "", words.refused(reference, verdicts, trial.tried))
    return trial.decided("reference", best.candidate, words.reference(trial.safety, verdicts, trial.tried, best))


def _about(trial: _Trial, champion: ChampionState, incumbent: CandidateEvaluation) -> Decision:
    """Where no challenger passes, the champion goes for another reason, or stays, refreshed or not."""
    evaluation, name, tried = trial.safety, champion.candidate, trial.tried
    failed_check = _unfit(incumbent, champion.changed) or champion.failed_check
    demoted = demotion(evaluation, trial.gate, incumbent, failed_check)
    if demoted is not None:
        successor, why = demoted
        return trial.decided("demoted", successor, f"{name} is demoted: {why} {words.stands(successor, evaluation)} {tried}")
    if champion.unfitted and evaluation.champion is None:
        return trial.nothing("kept", name, words.nobody_follows(name, str(champion.failed_check), tried))
    stays = words.kept(evaluation, name, incumbent, trial.verdicts, tried)
    fresh, why = _refreshed(trial.gate, trial.history, incumbent, champion)
    return trial.decided("refreshed" if fresh else "kept", name, f"{why} {stays}", entry=champion.entry, refresh=why)


def _unfit(incumbent: CandidateEvaluation, changed: str | None) -> str | None:
    """Why a champion may not stay whose version answers no more what is asked, and whose recipe says nothing to it."""
    if changed is None or not incumbent.invalid:
        return None
    return f"what is asked has changed ({changed}), and its recipe cannot be evaluated for it: {incumbent.invalid}"


def _refreshed(gate: Gate, history: History, incumbent: CandidateEvaluation, champion: ChampionState) -> tuple[bool, str]:
    """Whether the champion's recipe, fitted on newer data or for what is asked now, takes its place; and why (not)."""
    refresh, changed = champion.refresh, champion.changed
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
    compared = [one for one in (refresh, champion.first) if one is not None]
    for one in compared:
        if one.effect is None or one.effect < -gate.minimum_effect:
            return False, words.refresh_refused(one, gate.minimum_effect)
    return True, words.refresh_accepted(compared, gate.minimum_effect, champion.no_first)
