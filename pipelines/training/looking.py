"""A training's look at test outcomes, recorded before any figure of its evaluation is computed (see `finflow.pipelines.lake.looks`)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import SampleIndex
from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import NotEnoughHistoryError
from finflow.pipelines.core.manifests import SampleManifest
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.evaluation.inputs import FoldPredictions, tested_positions
from finflow.pipelines.evaluation.sight import Before, Opening, opening, outcome_days
from finflow.pipelines.lake.as_of import latest_revisions
from finflow.pipelines.lake.fingerprints import OutcomeRows, outcome_rows
from finflow.pipelines.lake.lake import PARTITION, literal
from finflow.pipelines.lake.looks import EARLIER, TRAINING, TRIAL, WALK, Look, Looks, Seen
from finflow.pipelines.samples.windows import open_samples
from finflow.pipelines.training.spending import closed, level_to_spend

if TYPE_CHECKING:
    from finflow.pipelines.lake.promotions import PromotionRow
    from finflow.pipelines.training.plan import TrainingPlan

Mask = NDArray[np.bool_]
#: verdicts of rows that no training made
BY_A_PERSON = ("rolled-back", "first-approval", "approved", "rejected")


@dataclass(frozen=True, eq=False)
class Tested:
    """The test samples of a training, and the rows that hold their outcomes.

    Attributes:
        index: of the n test samples, fold after fold; `entities`: text, [n].
        rows: every outcome row that is known of the definition's data, in the test periods or not.
    """

    index: SampleIndex
    entities: NDArray[np.str_]
    rows: OutcomeRows
    stratified: bool


def take_look(context: Context, plan: TrainingPlan, predictions: FoldPredictions, purpose: str = TRAINING) -> Opening:
    """Record the look, and say what may be shown and whether a challenge opens; the same again for a run that recorded it before.

    Raises:
        NotEnoughHistoryError: every test date is sealed, so there is nothing to show; no look is recorded.
        ConflictError: others kept writing looks.
    """
    tested = tested_of(context, plan, predictions)

    def judge(seen: Seen) -> tuple[Look, Mask]:
        found = opened(context, tested, before_of(seen, tested, context.definition.gate.level))
        if not found.shown.any():
            raise NotEnoughHistoryError(
                f"{context.name}: all {found.dates:,} test dates are sealed: they come after the last look at these data, and the next "
                f"challenge opens at {context.definition.gate.new_dates}. Compare recipes with `finflow try {context.name}` meanwhile, or "
                "set folds.first_test earlier."
            )
        return _look(context, plan, tested, found, purpose), looked_rows(context, tested, found.shown)

    looks = Looks(context.lake, context.home.heads)
    earlier = earlier_looks(context, plan, tested, looks) if purpose == TRAINING else []
    seen = looks.record(plan.run_key, tested.rows, judge, earlier)
    return opened(context, tested, before_of(seen, tested, context.definition.gate.level))


def take_walk_look(context: Context, plan: TrainingPlan, predictions: FoldPredictions, key: str) -> Opening:
    """The look of a period of a walk forward: recorded like any other, for its figures are seen; it opens no challenge of the live gate.

    What the walk itself may show and decide goes by its own periods before, as if it had been run then.

    Args:
        key: of the period's decision.

    Raises:
        NotEnoughHistoryError: its own periods before leave nothing to show.
    """
    tested = tested_of(context, plan, predictions)
    rows = context.promotions.rows()
    ends = [str(row.evidence["looks"]["until"]) for row in rows if row.evidence.get("looks")]
    gate = context.definition.gate
    challenges, spent = sum(bool(row.challenge) for row in rows), sum(row.level for row in rows)
    until = np.datetime64(max(ends), "D") if ends else None
    found = opened(context, tested, Before(len(ends), challenges, gate.level, spent, until))
    if not found.shown.any():
        raise NotEnoughHistoryError(f"{context.name}: no test date of this period's training may be shown yet: it needs more history.")
    look = replace(_look(context, plan, tested, found, WALK), run_key=key)
    shown = looked_rows(context, tested, found.shown)
    Looks(context.lake, context.home.heads).record(key, tested.rows, lambda seen: (look, shown))
    return found


def take_trial_look(context: Context, plan: TrainingPlan, predictions: FoldPredictions) -> None:
    """The look of a trial at the outcomes of its development folds. It takes nothing from a test part that begins after them; but where
    `folds.first_test` is set back later, what a trial has shown is no unseen date."""
    tested = tested_of(context, plan, predictions)
    found = opened(context, tested, Before(0, 0, context.definition.gate.level, 0.0, None))
    look = _look(context, plan, tested, found, TRIAL)
    shown = looked_rows(context, tested, np.ones(len(tested.index), dtype=bool))
    Looks(context.lake, context.home.heads).record(plan.run_key, tested.rows, lambda seen: (look, shown))


def opened(context: Context, tested: Tested, before: Before) -> Opening:
    """What may be shown, given what was looked at before."""
    why = functools.partial(closed, context.definition.gate)
    independent = context.problem.independent
    return opening(tested.index, tested.entities, before, why, independent=independent, stratified=tested.stratified)


def before_of(seen: Seen, tested: Tested, level: float) -> Before:
    """What the table of looks says, as an evaluation asks it. Trials that end before the test part begins are no looks at it."""
    until = None if seen.until is None else np.datetime64(seen.until, "D")
    first = outcome_days(tested.index, independent=False)[0].min()
    looks = sum(look.purpose != TRIAL for look in seen.looks) if until is not None and until < first else len(seen.looks)
    entities = frozenset(tested.rows.entity[seen.again].tolist()) if tested.stratified else frozenset()
    return Before(looks, seen.challenges, seen.lowest_level(level), seen.spent, until, entities)


def tested_of(context: Context, plan: TrainingPlan, predictions: FoldPredictions) -> Tested:
    """The test samples of a training, and the rows that hold their outcomes."""
    samples = open_samples(plan.samples.folder)
    index = samples.index.take(tested_positions(plan.folds, predictions))
    entities = np.array(samples.observations.entities, dtype=np.str_)[index.entity]
    stratified = any(fold.stratified is not None for fold in plan.folds)
    return Tested(index, entities, rows_of(context, plan.samples, sorted(set(entities.tolist()))), stratified)


def rows_of(context: Context, samples: SampleManifest, entities: Sequence[str]) -> OutcomeRows:
    """The fingerprints of the outcome rows in a clean batch, of these entities of the samples."""
    known = f"known_at <= {literal(pd.Timestamp(samples.clean.as_of))}"
    return _rows(context, samples.clean.table, samples.clean.version, known, entities)


def _rows(context: Context, table: str, version: int, where: str | None, entities: Sequence[str] | None = None) -> OutcomeRows:
    problem = context.problem
    # of a table of rows all columns: it may have no other name by which they are found again
    columns = None if problem.independent else ["entity", "time", "known_at", problem.watched]
    known = latest_revisions(
        context.lake.read(table, version=version, columns=columns, where=where).drop(columns=PARTITION, errors="ignore")
    )
    if entities is not None:
        known = known[known["entity"].isin({behind for entity in entities for behind in problem.behind(entity)})].reset_index(drop=True)
    return outcome_rows(known, problem.watched, problem.says, table=problem.independent)


def looks_at(context: Context) -> list[Look]:
    """Every look at the definition's data so far, oldest first: those of its name, and those at the same rows by another."""
    looks, table = Looks(context.lake, context.home.heads), f"clean/{context.name}"
    found = {look.sequence: look for look in looks.all() if look.definition == context.name}
    version = context.lake.version(table)
    if version is not None:
        rows = _rows(context, table, version, None)
        found |= {look.sequence: look for look in looks.seen(rows).looks}
    return [found[sequence] for sequence in sorted(found)]


def looked_rows(context: Context, tested: Tested, shown: Mask) -> Mask:
    """Which outcome rows the shown test samples are about: bool, [rows]. Of each entity those from the first day to the last one."""
    first, last = outcome_days(tested.index, independent=context.problem.independent)
    spans = pd.DataFrame({"entity": tested.entities[shown], "first": first[shown], "last": last[shown]})
    bounds = spans.groupby("entity", sort=False).agg({"first": "min", "last": "max"})
    own = [(behind, *span) for entity, *span in bounds.itertuples() for behind in context.problem.behind(str(entity))]
    table = pd.DataFrame(own, columns=["entity", "first", "last"]).groupby("entity").agg({"first": "min", "last": "max"})
    found = table.reindex(tested.rows.entity)
    day = tested.rows.day.astype("datetime64[D]")
    return np.asarray((day >= found["first"].to_numpy("datetime64[D]")) & (day <= found["last"].to_numpy("datetime64[D]")))


def _look(context: Context, plan: TrainingPlan, tested: Tested, found: Opening, purpose: str) -> Look:
    """The row of the table."""
    definition, problem, sight = context.definition, context.problem, found.sight
    days = tested.index.time[found.shown].astype("datetime64[D]")
    opens = found.challenge if purpose == TRAINING else 0
    units = tested.entities if tested.stratified else tested.index.time.astype("datetime64[D]")
    return Look(
        run_key=plan.run_key,
        definition=definition.name,
        purpose=purpose,
        problem=definition.problem.kind,
        says=problem.says,
        column=problem.watched,
        recipes=tuple(sorted({recipe.digest for recipe in plan.recipes.values()})),
        features=digest_json(list(plan.samples.columns)),
        loss=definition.gate.loss,
        horizon=definition.window.horizon,
        folds=len(plan.folds),
        as_of=plan.as_of,
        dates=len(np.unique(units[found.shown])),
        first_date=str(days.min()),
        last_date=str(days.max()),
        unseen=sight.unseen,
        sealed=found.sealed,
        level=definition.gate.level,
        challenge=opens,
        spent=level_to_spend(sight.level or definition.gate.level, sight.challenges) if opens else 0.0,
        decided_after=found.decided_after if opens else None,
    )


def earlier_looks(context: Context, plan: TrainingPlan, tested: Tested, looks: Looks) -> list[tuple[Look, Mask]]:
    """The trainings that were decided before there was a table of looks: none where this definition has a look of its own."""
    rows = [row for row in context.promotions.rows() if row.test_end is not None and row.verdict not in BY_A_PERSON]
    if not rows or any(look.definition == context.name and look.purpose != WALK for look in looks.all()):
        return []
    whole = np.ones(len(tested.index), dtype=bool)
    shape = _look(context, plan, tested, opened(context, tested, Before(0, 0, 0.0, 0.0, None)), EARLIER)
    days = tested.index.time.astype("datetime64[D]")
    found = []
    for row in rows:
        until = np.datetime64(str(row.test_end), "D")
        shown = whole if tested.stratified else days <= until
        if shown.any():
            found.append((_earlier(shape, row, len(np.unique(days[shown]))), looked_rows(context, tested, shown)))
    return found


def _earlier(shape: Look, row: PromotionRow, dates: int) -> Look:
    """A decision of before as a look; what its challenge spent says what level was declared."""
    spent = row.level if row.challenge else 0.0
    level = spent * (math.pi * row.challenge) ** 2 / 6.0 if row.challenge else shape.level
    return replace(
        shape,
        run_key=row.run_key,
        recipes=(),
        as_of=row.effective_as_of,
        dates=dates,
        last_date=str(row.test_end),
        unseen=0,
        sealed=0,
        level=level,
        challenge=row.challenge,
        spent=spent,
        recorded_at=row.recorded_at,
    )
