"""What a training does after its evaluation: read the promotions, decide, and make the row to record.

    def decide():                                                                          # again where others came first
        ruling = training_decision(context, evaluation, incumbent)
        if not ruling.recorded:
            version, digest = fit_and_register(...) if ruling.registers else (None, "")   # idempotent by run key
            promotions.record(promotion_row(ruling, version=version, manifest_digest=digest, ...), ruling.expected_version)
    put the aliases where the table says

Killed before `record`, the same command decides again on the same state, and registering gives the version that is there already. Killed
after it, `training_decision` finds the run key, returns the recorded decision, and only the alias is left to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.pipelines.core.code import sample_code_digest
from finflow.pipelines.core.manifests import CleanManifest, Decision, Evaluation
from finflow.pipelines.core.sight import Sight
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.evaluation.comparisons import Compared, compare_all, superior
from finflow.pipelines.evaluation.store import compared_losses, read_safety, safety_losses
from finflow.pipelines.lake.pending import PENDING, last_proposal, pending_row
from finflow.pipelines.lake.promotions import PromotionRow, champion_row
from finflow.pipelines.registry.task_signature import task_signature_digest
from finflow.pipelines.settings.parts import Recipe
from finflow.pipelines.training.gate import ChampionState, History, Refresh, decide
from finflow.pipelines.training.incumbent import Incumbent
from finflow.pipelines.training.leaks import with_leakage
from finflow.pipelines.training.spending import level_to_spend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from finflow.pipelines.leakage.check import LeakageReport

__all__ = ["Ruling", "promotion_row", "training_decision"]


@dataclass(frozen=True)
class Ruling:
    """A decision, and what recording it needs.

    Attributes:
        decision: the recorded one, if the run was decided before.
        recorded: its row, if it was; then there is nothing to fit, register or record.
        expected_version: the version of the promotions table that the decision rests on.
        champion: the row of the champion before the decision, or None.
        evaluation: what was decided on (compared anew, if the champion changed since it was made).
        test_end: ISO date of the last test date, sealed or not; None where it is the evaluation's.
    """

    decision: Decision
    recorded: PromotionRow | None
    expected_version: int | None
    champion: PromotionRow | None
    evaluation: Evaluation
    safety: Evaluation | None = None

    @property
    def registers(self) -> bool:
        """Whether the decision needs a version of its own: one that becomes champion, or waits for a person."""
        return self.decision.promoted or self.decision.verdict == PENDING


def training_decision(
    context: Context,
    evaluation: Evaluation,
    incumbent: Incumbent | None = None,
    leakage: LeakageReport | None = None,
) -> Ruling:
    """Decide on the newest state of the promotions table; writes nothing.

    Args:
        incumbent: what was found of the champion's version. Dates that it was trained on are left out of its losses here; without them a
            refresh goes by the number of new dates alone.
        leakage: what the leakage check found; where it failed nothing moves.

    Raises:
        FitError: the reference was not evaluated.
    """
    definition = context.definition
    rows, expected = context.promotions.snapshot()
    before = champion_row(rows)
    recorded = next((row for row in rows if row.run_key == evaluation.run_key), None)
    if recorded is not None:
        return Ruling(recorded.decision, recorded, expected, before, evaluation)
    dates, losses = safety_losses(evaluation)
    logarithmic = context.problem.logarithmic(evaluation.loss)
    state = None if before is None else _state(before, evaluation, losses)
    entry = None if state is None else state.entry
    evaluation, safety = _compared_anew(context, evaluation, losses, entry, known=state is None or entry is not None)
    answered = {"asked": task_signature_digest(definition), "sample_code": sample_code_digest(type(context.problem))}
    if state is not None:
        found = incumbent or Incumbent()
        if entry is not None:
            state = _refreshable(state, found, dates, losses[entry], logarithmic)
        state = replace(state, changed=found.changed, failed_check=found.failed_check)
    decided = decide(evaluation, definition.gate, state, _history(rows, evaluation, dates, answered), safety)
    decision = with_leakage(decided, leakage)
    ruling = Ruling(decision, None, expected, before, evaluation, safety)
    if not ruling.registers:
        return ruling
    return replace(ruling, decision=replace(decision, evidence={**decision.evidence, **answered}))


def _compared_anew(
    context: Context, evaluation: Evaluation, losses: Mapping[str, NDArray[np.float64]], entry: str | None, *, known: bool
) -> tuple[Evaluation, Evaluation]:
    """The evaluation, and the champion's recipe and the baselines on all test dates.

    They are compared again where another training changed the champion since; and the latter where all dates are shown, but a challenge
    was decided on those alone that nobody had looked at.

    Args:
        losses: a date, of all test dates.
        entry: the champion's in the evaluation, or None; `known` is False where it has none, though there is a champion.
    """
    gate, seed = context.definition.gate, context.definition.seed
    logarithmic = context.problem.logarithmic(evaluation.loss)
    sight, safety = evaluation.sight or Sight(), read_safety(evaluation)
    partly = safety is evaluation and 0 < sight.decided < evaluation.dates
    changed = known and entry != evaluation.champion
    level = level_to_spend(sight.level or gate.level, sight.challenges)
    if changed or partly:
        champion = entry if changed else evaluation.champion
        safety = against_champion(safety, losses, champion, seed, level, logarithmic=logarithmic)
    if changed:
        evaluation = against_champion(evaluation, compared_losses(evaluation)[1], entry, seed, level, logarithmic=logarithmic)
    return evaluation, safety


def _history(rows: Sequence[PromotionRow], evaluation: Evaluation, dates: NDArray[np.datetime64], answered: Mapping[str, str]) -> History:
    """What the looks and the decisions so far leave to this evaluation.

    Args:
        dates: of all test dates, sealed or not.
        answered: what a version made now answers, as evidence records it.
    """
    before, waiting, proposed = champion_row(rows), pending_row(rows), last_proposal(rows)
    sight = evaluation.sight or Sight(unseen=evaluation.dates)
    return History(
        challenges=sight.challenges,
        new_dates=sight.unseen,
        since_champion=0 if before is None else _new(evaluation, dates, [before]),
        since_proposal=None if proposed is None else _new(evaluation, dates, [proposed]),
        waiting=None if waiting is None else waiting.version,
        waiting_as=None if waiting is None else str(waiting.evidence.get("proposed", "")),
        proposal_answers=proposed is not None and all(proposed.evidence.get(key, now) == now for key, now in answered.items()),
        looks=evaluation.looks_before,
        level=sight.level,
        spent=sight.spent,
    )


def promotion_row(ruling: Ruling, clean: CleanManifest, *, version: int | None, manifest_digest: str, code_version: str) -> PromotionRow:
    """The row that records a ruling.

    Args:
        version, manifest_digest: of the version registered for this decision; ignored where the champion stays.
    """
    decision, evaluation, before = ruling.decision, ruling.evaluation, ruling.champion
    if ruling.registers:
        entry = next(one for one in evaluation.candidates if one.candidate == decision.evidence["entry"])
        family_, recipe = entry.family, entry.recipe
    else:
        family_, recipe = ("", {}) if before is None else (before.family, before.recipe)
        version, manifest_digest = (None, "") if before is None else (before.version, before.manifest_digest)
    return PromotionRow(
        run_key=evaluation.run_key,
        verdict=decision.verdict,
        candidate=decision.candidate,
        family=family_,
        version=version,
        previous_version=None if before is None else before.version,
        effective_as_of=evaluation.as_of,
        reason=decision.reason,
        level=decision.level,
        challenge=decision.challenge,
        test_end=(ruling.safety or evaluation).last_date,
        evidence=decision.evidence,
        recipe=recipe,
        data_version=clean.version,
        data_digest=clean.digest,
        code_version=code_version,
        manifest_digest=manifest_digest,
    )


def against_champion(
    evaluation: Evaluation,
    losses: Mapping[str, NDArray[np.float64]],
    champion: str | None,
    seed: int,
    level: float,
    *,
    logarithmic: bool = False,
) -> Evaluation:
    """The same evaluation, compared against another champion: another training changed it in between.

    Args:
        losses: by entry, one deciding loss a date.
        champion: its entry in the evaluation, or None.
        logarithmic: see `comparisons.compare`.
    """
    baselines = {one.candidate: one.baseline for one in evaluation.candidates if one.candidate in losses}
    compared = compare_all(
        losses,
        baselines,
        champion,
        evaluation.reference,
        horizon=evaluation.horizon,
        seed=seed,
        replications=evaluation.replications,
        logarithmic=logarithmic,
    )
    nothing = Compared((), (), None)
    candidates = tuple(replace(one, **vars(compared.get(one.candidate, nothing))) for one in evaluation.candidates)
    return replace(evaluation, candidates=candidates, champion=champion, superior=superior(compared, baselines, level))


def compare_incumbent(
    dates: NDArray[np.datetime64],
    refitted: NDArray[np.float64],
    frozen: pd.Series[float],
    effective_as_of: str,
    *,
    logarithmic: bool = False,
) -> Refresh:
    """The refitted recipe against the frozen version, on the dates that both have after the frozen one's training ended.

    On dates it was trained on the frozen version would look unbeatable.
    """
    ended = pd.Timestamp(effective_as_of).tz_localize(None).normalize()
    mine = pd.Series(refitted, index=pd.DatetimeIndex(dates))
    both = pd.DataFrame({"mine": mine, "frozen": frozen}).dropna()
    both = both[both.index > ended]
    if both.empty:
        return Refresh(0, None)
    old, new = float(both["frozen"].mean()), float(both["mine"].mean())
    if not np.isfinite(both.to_numpy()).all() or (old == 0 and not logarithmic):
        return Refresh(len(both), None)
    return Refresh(len(both), old - new if logarithmic else 1.0 - new / old)


def _refreshable(
    state: ChampionState, found: Incumbent, dates: NDArray[np.datetime64], refitted: NDArray[np.float64], logarithmic: bool
) -> ChampionState:
    """The state with how the refitted recipe did against the champion's version and the first one of its line."""
    if found.losses is None:
        return state
    refresh = compare_incumbent(dates, refitted, found.losses, state.effective_as_of, logarithmic=logarithmic)
    first = found.first
    if first is not None:
        against = compare_incumbent(dates, refitted, first.losses, first.effective_as_of, logarithmic=logarithmic)
        skipped = f"{first.skipped}, so version {first.version} stands for it" if first.skipped else None
        return replace(state, refresh=refresh, first=replace(against, version=first.version), no_first=skipped)
    return replace(state, refresh=refresh, no_first=found.no_first)


def _state(before: PromotionRow, evaluation: Evaluation, losses: Mapping[str, NDArray[np.float64]]) -> ChampionState:
    digest = Recipe.model_validate(before.recipe).digest
    entries = [one.candidate for one in evaluation.candidates if one.recipe_digest == digest and one.candidate in losses]
    # two names may carry one recipe; the evaluation says which of them stands for the champion
    entry = evaluation.champion if evaluation.champion in entries else next(iter(entries), None)
    return ChampionState(before.candidate, int(before.version or 0), before.effective_as_of, entry)


def _new(evaluation: Evaluation, dates: NDArray[np.datetime64], since: Sequence[PromotionRow]) -> int:
    """Test dates after the last of these decisions; where rows have no time, by how many entities more were tested than in any of them."""
    if any(fold.stratified is not None for fold in evaluation.folds):
        return max(0, len(dates) - max((int(row.evidence.get("dates", len(dates))) for row in since), default=0))
    return _after(dates, max((row.test_end for row in since if row.test_end), default=None))


def _after(dates: NDArray[np.datetime64], last: str | None) -> int:
    return len(dates) if last is None else int((dates > np.datetime64(last)).sum())
