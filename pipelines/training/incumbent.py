"""The champion's own version before a decision: its weights on dates after its training ended, and what keeps it from staying as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.pipelines.core.errors import OutdatedError, RegistryError
from finflow.pipelines.core.manifests import Evaluation
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.evaluation.evaluation import date_losses
from finflow.pipelines.lake.lineage import lineage
from finflow.pipelines.registry.task_signature import changed_task
from finflow.pipelines.registry.versions import load_version
from finflow.pipelines.samples.windows import open_samples
from finflow.pipelines.settings.parts import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finflow.pipelines.lake.promotions import PromotionRow
    from finflow.pipelines.registry.served import ServedModel
    from finflow.pipelines.training.plan import TrainingPlan


@dataclass(frozen=True, eq=False)
class FirstVersion:
    """The version made when the champion's recipe was promoted, or the earliest refresh since that answers what is asked.

    Attributes:
        effective_as_of: ISO instant; when its training ended.
        losses: the deciding loss a date, on the evaluation's dates after that.
        skipped: why an earlier one is not it, in words; or None.
    """

    version: int
    effective_as_of: str
    losses: pd.Series[float]
    skipped: str | None = None


@dataclass(frozen=True, eq=False)
class Incumbent:
    """The champion's version, as a training finds it.

    Attributes:
        losses: the deciding loss a date, on the evaluation's dates after the version's training ended; None where there are none, or
            where the definition has asked for another task since.
        changed: what is asked otherwise than it was made for, or why this code may not serve it any more, in words, or None.
        failed_check: why it may not stay: it cannot be loaded, answers no more as it did, or its recipe cannot be fitted for what is
            asked now; or None.
        first: the first version of this champion, where it is another than the champion's; None where no earlier one can be compared.
        no_first: why none can, in words, where there are earlier ones; or None.
    """

    losses: pd.Series[float] | None = None
    changed: str | None = None
    failed_check: str | None = None
    first: FirstVersion | None = None
    no_first: str | None = None


def incumbent(
    context: Context,
    plan: TrainingPlan,
    evaluation: Evaluation,
    failed: Mapping[str, str],
) -> Incumbent:
    """Look at the champion's version.

    Args:
        failed: by recipe, why it could not be fitted.
    """
    row = context.promotions.champion_row()
    if row is None or row.version is None or pd.Timestamp(evaluation.as_of) < pd.Timestamp(row.effective_as_of):
        return Incumbent()
    served = None
    try:
        served = load_version(context, row.version)
        changed = changed_task(context.definition, served)
    except OutdatedError as error:
        changed = error.change
    except RegistryError as error:
        return Incumbent(failed_check=str(error))
    if changed is not None or served is None:
        name = plan.champion_recipe
        unfit = name in failed and plan.recipes[name].digest == Recipe.model_validate(row.recipe).digest if name else False
        why = f"what is asked has changed ({changed}), and its recipe cannot be fitted for it: {failed[name]}" if name and unfit else None
        return Incumbent(changed=changed, failed_check=why)
    losses = _losses_after(context, plan, evaluation, served, row.effective_as_of)
    if losses is None:
        return Incumbent()
    first, skipped = _first_version(context, plan, evaluation)
    return Incumbent(losses, first=first, no_first=skipped if first is None else None)


def _losses_after(context: Context, plan: TrainingPlan, evaluation: Evaluation, served: ServedModel, ended: str) -> pd.Series[float] | None:
    """A version's deciding loss on the evaluation's dates after `ended`; None where there are none, or it knows other columns."""
    samples = open_samples(plan.samples.folder)
    if served.task.columns != samples.columns:
        return None
    last = np.datetime64(pd.Timestamp(ended).tz_convert("UTC").tz_localize(None), "D")
    index = samples.index
    wanted = index.labelled & (index.time.astype("datetime64[D]") > last) & (index.time >= np.datetime64(evaluation.first_date))
    if not wanted.any():
        return None
    chosen = samples.take(np.flatnonzero(wanted))
    return date_losses(context.problem, evaluation.loss, served.model.predict(chosen), chosen)


def _first_version(context: Context, plan: TrainingPlan, evaluation: Evaluation) -> tuple[FirstVersion | None, str | None]:
    """The earliest version of the champion's line, before its own, that can be compared; and why one before it cannot, in words."""
    *earlier, own = lineage(context.promotions.rows())
    skipped = None
    for row in earlier:
        version = int(row.version or 0)
        losses = _losses_of(context, plan, evaluation, row, own)
        if not isinstance(losses, str):
            return FirstVersion(version, row.effective_as_of, losses, skipped), skipped
        skipped = skipped or f"version {version} cannot be compared ({losses})"
    return None, skipped


def _losses_of(
    context: Context, plan: TrainingPlan, evaluation: Evaluation, row: PromotionRow, own: PromotionRow
) -> pd.Series[float] | str:
    """An earlier version's deciding loss a date, or why it cannot be compared, in words.

    Args:
        row, own: those that made it and the champion's own version.
    """
    # recorded with every version, so that none that answers another question has to be loaded
    if any(row.evidence.get(key) != own.evidence.get(key) for key in ("asked", "sample_code")):
        return "made for another question or by other code"
    try:
        served = load_version(context, int(row.version or 0))
        losses = None if changed_task(context.definition, served) else _losses_after(context, plan, evaluation, served, row.effective_as_of)
    except RegistryError as error:
        return str(error).rstrip(".")
    return "made for another question" if losses is None else losses


def answers_another_task(context: Context) -> bool:
    """Whether the champion's version was made for another task than the definition asks now, or is outdated; False where it is damaged."""
    row = context.promotions.champion_row()
    if row is None or row.version is None:
        return False
    try:
        return changed_task(context.definition, load_version(context, row.version)) is not None
    except OutdatedError:
        return True
    except RegistryError:
        return False
