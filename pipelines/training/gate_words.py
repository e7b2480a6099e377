"""The gate's reasons in plain words, with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from finflow.pipelines.core.manifests import CandidateEvaluation, Comparison, Evaluation
from finflow.pipelines.evaluation.comparisons import BEST_DATES

if TYPE_CHECKING:
    from finflow.pipelines.settings.parts import Gate


class Judged(Protocol):
    """A challenger's name and what was found."""

    @property
    def name(self) -> str: ...
    @property
    def why(self) -> str: ...


class Refreshed(Protocol):
    """A refitted recipe against a frozen version of it."""

    @property
    def dates(self) -> int: ...
    @property
    def effect(self) -> float | None: ...
    @property
    def version(self) -> int | None: ...


def against(one: Comparison, corrected: float | None = None) -> str:
    """The change of the loss and its p-value: "loss -4.1 %, p = 0.0002, corrected 0.0004"."""
    effect = "loss unchanged or not comparable" if one.effect is None else f"loss {percent(-one.effect)}"
    plain = "" if one.p_value is None else f", p {probability(one.p_value)}"
    return effect + plain + ("" if corrected is None else f", corrected {probability(corrected)}")


def by_few_dates(one: Comparison) -> str:
    """That an effect hangs on the best dates."""
    if one.best_dates_share is None or one.effect_without_best is None:
        return f"by what cannot be told without its {BEST_DATES} best dates"
    return (
        f"only by its {BEST_DATES} best of {one.dates:,} dates: they make {100 * one.best_dates_share:.0f} % of the effect, without them "
        f"loss {percent(-one.effect_without_best)}"
    )


def percent(value: float) -> str:
    return f"{100 * value:+.2f} %"


def probability(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.4f}"


def tried(evaluation: Evaluation, gate: Gate, level: float, challenge: int) -> str:
    """How it was decided."""
    return (
        f"Decided on {evaluation.decided_units} by {evaluation.loss}: challenge "
        f"{challenge} on these data, level {level:.4f}, minimum effect {100 * gate.minimum_effect:g} %."
    )


def sealed(dates: int, unseen: int, looks: int, needed: int) -> str:
    """That no challenge opens, for too few dates are unseen."""
    times = "once" if looks == 1 else f"{looks:,} times"
    return (
        f"No challenge was decided: {dates - unseen:,} dates, seen {times} before: nothing is decided on them; {unseen:,} sealed, the next "
        f"challenge opens at {needed}."
    )


def historical(evaluation: Evaluation, candidate: str, version: int, effective_as_of: str) -> str:
    return (
        f"Historical: this training knows the data up to {evaluation.as_of[:10]}, the champion {candidate} (version {version}) up to "
        f"{effective_as_of[:10]}. A training as of an earlier date never replaces the champion, and decides nothing."
    )


def not_compared(candidate: str) -> str:
    return (
        f"{candidate} stays: its recipe was not among those of this training (another training changed the champion meanwhile, "
        "perhaps), so nothing could be compared with it. Train again."
    )


def promoted(best: CandidateEvaluation, incumbent: CandidateEvaluation, how: str, winners: Sequence[str]) -> str:
    """Who won, against whom, by how much; and for a baseline that no candidate has skill over it."""
    beaten = "; ".join(f"{one.against} ({against(one)})" for one in best.comparisons if one.against in best.must_beat)
    corrected = f"corrected p {probability(1.0 if best.adjusted_p is None else best.adjusted_p)}"
    others = [name for name in winners if name != best.candidate]
    also = f" {', '.join(others)} passed too, with a higher loss." if others else ""
    if best.baseline:
        none = f"No skill over {best.candidate}: no candidate beat every baseline."
        return f"{best.candidate} replaces {incumbent.candidate}: it beats {beaten}; {corrected}.{also} {none} {how}"
    return f"{best.candidate} is promoted: it beats {beaten}; {corrected}.{also} {how}"


def waits(verdict: str, reason: str, gate: Gate, replaces: int | None) -> str:
    """That the gate accepts, and a person has the last word."""
    people = "two different people approve" if gate.four_eyes else "a person approves"
    older = "" if replaces is None else f" It takes the place of version {replaces}, which waited."
    return f"Accepted by the gate ({verdict}); nothing moves until {people} it.{older} The gate's words: {reason}"


def failed(entry: CandidateEvaluation) -> str:
    """The checks that an entry fails."""
    return "; ".join(check.words for check in entry.failed_checks)


def refused(reference: CandidateEvaluation, verdicts: Sequence[Judged], how: str) -> str:
    others = f" {listed(verdicts)}" if verdicts else ""
    own = f"{reference.candidate}, the reference, fails: {failed(reference)}."
    return f"Nothing is promoted: no baseline passes its checks. {own}{others} {how}"


def reference(evaluation: Evaluation, verdicts: Sequence[Judged], how: str, standing: CandidateEvaluation) -> str:
    name = evaluation.reference
    if standing.candidate != name:
        own = next(one for one in evaluation.candidates if one.candidate == name)
        others = f" {listed(verdicts)}" if verdicts else ""
        return (
            f"No skill is shown. {name}, the reference, may not stand, for it fails: {failed(own)}. {standing.candidate} stands in its "
            f"place: of the baselines that pass their checks it has the lowest loss.{others} {how}"
        )
    if not verdicts:
        return f"No skill over {name} is shown, and {name} stands as the reference. {how}"
    return f"No skill over {name}: nothing beat what it must beat, and {name} stands as the reference. {listed(verdicts)} {how}"


def kept(evaluation: Evaluation, champion: str, incumbent: CandidateEvaluation, verdicts: Sequence[Judged], how: str) -> str:
    if not verdicts:
        return f"{champion} stays. {how}"
    skill = f"No skill over {champion}: no" if incumbent.baseline else "No"
    return f"{champion} stays. {skill} challenger beat what it must beat. {listed(verdicts)} {how}"


def listed(verdicts: Sequence[Judged]) -> str:
    return "; ".join(f"{one.name}: {one.why}" for one in verdicts) + "."


def stands(successor: str, evaluation: Evaluation) -> str:
    return f"{successor} {'stands as the reference' if successor == evaluation.reference else 'takes its place'}."


def nobody_follows(champion: str, failed_check: str, how: str) -> str:
    why = failed_check.rstrip(".")
    return f"{champion} stays for want of another, for no baseline passes its checks, though one of its own failed: {why}. {how}"


def asked_anew(changed: str) -> str:
    return f"What is asked has changed since its version was made ({changed}): its recipe is fitted for that at once."


def refresh_refused(one: Refreshed, minimum: float) -> str:
    if one.effect is None:
        return f"No refresh: its refitted recipe cannot be compared with {_its_version(one)} on the {one.dates} dates since."
    return (
        f"No refresh: on {one.dates} dates after its training ended, its recipe refitted has loss {percent(-one.effect)} against "
        f"{_its_version(one)}, worse by more than {100 * minimum:g} %."
    )


def refresh_accepted(compared: Sequence[Refreshed], minimum: float, no_first: str | None) -> str:
    """That refitting is not worse than the champion's version and the first one of its line; and why that one is not there."""
    found = "; ".join(
        f"on {one.dates} dates after its training ended, refitting has loss {percent(-(one.effect or 0.0))} against {_its_version(one)}"
        for one in compared
    )
    missing = "" if no_first is None else f" Of the first versions of this champion {no_first}."
    return f"Its recipe is fitted again: {found}, not worse by more than {100 * minimum:g} %.{missing}"


def _its_version(one: Refreshed) -> str:
    return "its version" if one.version is None else f"this champion's first version ({one.version})"
