"""The champion's own version, with the weights it was promoted with, on dates after its training ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipelines.definition import Definition
from pipelines.errors import RegistryError
from pipelines.home import Home
from pipelines.manifests import Evaluation

if TYPE_CHECKING:
    from pipelines.promotions import Promotions
    from pipelines.training import TrainingPlan


def frozen_losses(
    definition: Definition, home: Home, plan: TrainingPlan, evaluation: Evaluation, promotions: Promotions
) -> tuple[pd.Series[float] | None, str | None]:
    """The deciding loss a date of the champion's version, and why it may not stay.

    Returns:
        The losses on the evaluation's dates after the version's training ended, or None where there are none (or the definition has
        asked for another task since); and the reason why the version cannot be loaded or answers no more as it did, or None.
    """
    from pipelines.evaluation import date_losses
    from pipelines.inference import check_task
    from pipelines.problems import problem_of
    from pipelines.registry import load_version
    from pipelines.windows import open_samples

    row = promotions.champion_row()
    if row is None or row.version is None or pd.Timestamp(evaluation.as_of) < pd.Timestamp(row.effective_as_of):
        return None, None
    try:
        served = load_version(home, definition.name, row.version, promotions)
    except RegistryError as error:
        return None, str(error)
    samples = open_samples(plan.samples.folder)
    try:
        check_task(definition, served, samples.columns)
    except RegistryError:
        return None, None
    ended = np.datetime64(pd.Timestamp(row.effective_as_of).tz_convert("UTC").tz_localize(None).normalize(), "ns")
    index = samples.index
    wanted = index.labelled & (index.time > ended) & (index.time >= np.datetime64(evaluation.first_date))
    if not wanted.any():
        return None, None
    chosen = samples.take(np.flatnonzero(wanted))
    return date_losses(problem_of(definition), evaluation.loss, served.model.predict(chosen), chosen), None
