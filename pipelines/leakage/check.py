"""`check-leakage`: five attempts to make the future change the past, and a test that the attempts would be noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.models.samples import Samples
from finflow.pipelines.core.errors import NotEnoughHistoryError
from finflow.pipelines.core.manifests import JsonRecord
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.features.kinds import CATEGORY
from finflow.pipelines.features.panel import first_rows
from finflow.pipelines.leakage.as_known import compare_with_known
from finflow.pipelines.leakage.data import AlteredFuture, changed_columns, cut_dates, knowing_columns, with_column, worlds_without_future
from finflow.pipelines.leakage.models import peeking_candidates, shuffled_models, skill_on_shuffled
from finflow.pipelines.leakage.outcome import telling_columns
from finflow.pipelines.problems.outcome import Outcome
from finflow.pipelines.samples.features import numeric_features
from finflow.pipelines.samples.folds import make_folds
from finflow.pipelines.samples.windows import build_samples, count_dropped, known_rows, require_samples, task_of

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

PLANTED = "planted_future"


@dataclass(frozen=True)
class LeakageCheck(JsonRecord):
    """One attempt: whether it failed to find a leak, what was done in plain words, and the columns or candidates at fault.

    What cannot be tried on such data is not `tried`, and has not passed either.
    """

    name: str
    passed: bool
    detail: str
    columns: tuple[str, ...] = ()
    tried: bool = True


@dataclass(frozen=True)
class LeakageReport(JsonRecord):
    """All attempts; `passed` when none that was tried found a leak."""

    passed: bool
    checks: tuple[LeakageCheck, ...]


def check_leakage(context: Context, as_of: str | pd.Timestamp | None = None) -> LeakageReport:
    """Ingest and validate as a training would, and look for leaks in the clean rows known at the as-of.

    Args:
        as_of: a date, an instant, or None for the last complete session.

    Raises:
        FinflowError: the data cannot be read, break the contract, or are too few.
    """
    raw = ingest(context)
    instant = as_of if isinstance(as_of, pd.Timestamp) else resolve_as_of(context, as_of, version=raw.version)
    clean = validate(context, raw, instant)
    known = known_rows(context, clean)
    return check_rows(context.definition, known.latest, instant, known.revisions)


def check_rows(definition: Definition, clean: pd.DataFrame, as_of: pd.Timestamp, revisions: pd.DataFrame | None = None) -> LeakageReport:
    """Look for leaks in these clean rows.

    Args:
        revisions: every revision of them, the latest among them; None: there is nothing to say of what was known before.

    Raises:
        NotEnoughHistoryError: too few rows to cut, or to fold.
    """
    known = [] if revisions is None else [as_known(definition, revisions, build_samples(definition, clean, as_of, revisions))]
    # The other attempts change the rows as they are known last: what was known before says nothing about them.
    report = _check_latest(definition, clean, as_of)
    checks = (*report.checks[:1], *known, *report.checks[1:])
    return LeakageReport(all(check.passed for check in checks if check.tried), checks)


def _check_latest(definition: Definition, clean: pd.DataFrame, as_of: pd.Timestamp) -> LeakageReport:
    samples = build_samples(definition, clean, as_of)
    if definition.folds.kind == "stratified":
        return _without_time(definition, clean, samples, as_of)
    cuts = cut_dates(clean)
    if not cuts:
        raise NotEnoughHistoryError(
            f"{definition.name}: {len(clean)} clean rows of one date or none; there is no future to look for leaks from."
        )
    worlds = {cut: worlds_without_future(definition, clean, cut, definition.seed) for cut in cuts}
    past = future_changes_nothing(samples, [world for pair in worlds.values() for world in pair])
    checks = [past, no_column_knows_the_target(definition, samples), planted_future_is_caught(definition, clean, samples, cuts[-1])]
    if past.passed:
        # a column that peeks would make every model look as if it did: the column has been named, and nothing is learnt from the rest
        require_samples(definition, samples, count_dropped(definition, clean))
        checks.append(_peeks(definition, samples, worlds[cuts[-2] if len(cuts) > 1 else cuts[-1]][0]))
        checks.append(_learns_noise(definition, samples, as_of))
    return LeakageReport(all(check.passed for check in checks), tuple(checks))


def _without_time(definition: Definition, clean: pd.DataFrame, samples: Samples, as_of: pd.Timestamp) -> LeakageReport:
    """What can be tried where rows have no time: there is no future to replace."""
    require_samples(definition, samples, count_dropped(definition, clean))
    checks = [
        no_column_knows_the_target(definition, samples),
        planted_future_is_caught(definition, clean, samples, None),
        _learns_noise(definition, samples, as_of),
    ]
    why = "the rows have no time, so nothing can be seen to read ahead of it"
    nothing = LeakageCheck("the future does not change the past", False, why, tried=False)
    return LeakageReport(all(check.passed for check in checks), (nothing, *checks))


def as_known(definition: Definition, revisions: pd.DataFrame, samples: Samples) -> LeakageCheck:
    """Whether the samples of a run hold what was known at their own instants, and how many rows were revised since.

    Args:
        revisions: every revision of the clean rows that `samples` were made of.
    """
    found = compare_with_known(definition, revisions, samples)
    faults = tuple(found.changed)
    detail = (
        f"{found.samples} samples of {', '.join(found.dates)}, made again of the rows known at each one's own instant, are the same to the "
        "bit"
    )
    if faults:
        told = ", ".join(f"{name} in {count}" for name, count in found.changed.items())
        detail = f"of {found.samples} samples of {', '.join(found.dates)} what was known at each one's own instant is otherwise: {told}"
    return LeakageCheck("features are as they were known", not faults, f"{detail}; {found.told}", faults)


def future_changes_nothing(samples: Samples, worlds: list[AlteredFuture]) -> LeakageCheck:
    """Whether samples are the same to the bit up to each cut in worlds without what came after it."""
    faults: dict[str, AlteredFuture] = {}
    for world in worlds:
        for name in changed_columns(samples, world):
            faults.setdefault(name, world)
    # samples and targets that change because a column does say nothing more
    faults = {name: world for name, world in faults.items() if not name.startswith("(")} or faults
    dates = ", ".join(sorted({str(world.cut) for world in worlds}))
    told = "; ".join(f"{name} changes up to {world.cut} when everything after it is {world.what}" for name, world in faults.items())
    detail = (
        told or f"columns, samples and targets up to {dates} are the same to the bit when everything after is noise, and when it is gone"
    )
    return LeakageCheck("the future does not change the past", not faults, detail, tuple(faults))


def no_column_knows_the_target(definition: Definition, samples: Samples) -> LeakageCheck:
    """Whether no column by itself says nearly what the target says."""
    names = tuple(feature.label for feature in definition.features)
    ranked = knowing_columns(samples, numeric_features(definition))
    found = {name: f"{name} ranks samples as the target does ({value:.2f}): it may hold the future" for name, value in ranked.items()}
    if isinstance(problem_of(definition), Outcome):
        found = {**telling_columns(definition, samples, definition.seed), **found}
    told = "; ".join(found.values())
    return LeakageCheck(
        "no column knows the target",
        not found,
        told or f"none of {len(names)} columns ranks samples nearly as the target does",
        tuple(found),
    )


def planted_future_is_caught(definition: Definition, clean: pd.DataFrame, samples: Samples, cut: np.datetime64 | None) -> LeakageCheck:
    """Plant a column that holds tomorrow's value, and one that holds the target: both must be caught."""
    missed = []
    name = "a planted future column is caught"
    told = "the target as a column"
    first = next((feature for feature in definition.features if feature.kind != CATEGORY), None)
    if first is not None and cut is not None and np.diff(first_rows(clean.sort_values(["entity", "time"]))).max() > 1:
        shifted = first.model_copy(update={"name": PLANTED, "shift": -1})
        planted = definition.model_copy(update={"features": (*definition.features, shifted)})
        original = build_samples(planted, clean)
        if not any(PLANTED in changed_columns(original, world) for world in worlds_without_future(planted, clean, cut, definition.seed)):
            missed.append(f"{first.label} of the next row went unnoticed")
        told = f"the next row's {first.label}, and {told}"
    if samples.index.labelled.sum() >= 50 and PLANTED not in knowing_columns(
        with_column(samples, PLANTED, samples.index.target[:, 0].astype(np.float64)), (PLANTED,)
    ):
        missed.append("the target as a column went unnoticed")
    return LeakageCheck(name, not missed, "; ".join(missed) or f"planted in a copy and caught: {told}", (PLANTED,) if missed else ())


def _peeks(definition: Definition, samples: Samples, world: AlteredFuture) -> LeakageCheck:
    faults = peeking_candidates(definition, samples, world, task_of(definition, samples.columns))
    count = len(definition.recipes)
    detail = "; ".join(faults.values()) or (
        f"{count} models, fitted briefly up to {world.cut}, predict and report the same to the bit when everything after it is noise"
    )
    return LeakageCheck("no model peeks", not faults, detail, tuple(faults))


def _learns_noise(definition: Definition, samples: Samples, as_of: pd.Timestamp) -> LeakageCheck:
    fold = make_folds(definition, samples.index, as_of)[-1]
    task = task_of(definition, samples.columns)
    skilled = skill_on_shuffled(definition, samples, fold, task)
    names = ", ".join(shuffled_models(task)[1])
    detail = "; ".join(skilled.values()) or (
        f"what is fitted on shuffled labels ({names}) does not beat what knows nothing of a sample on fold {fold.name}"
    )
    return LeakageCheck("shuffled labels give no skill", not skilled, detail, tuple(skilled))
