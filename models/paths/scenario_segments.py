"""What a generator of scenarios is trained on: the standardised increments before each sample and after it, gathered as they are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from finflow.models.base import Task
from finflow.models.errors import FitFailure
from finflow.models.paths.paths import past_increments
from finflow.models.samples import Float32, Float64, Int64, Samples

if TYPE_CHECKING:
    from finflow.models.networks.modules.training import Part
    from finflow.models.paths.scenario_settings import ScenarioGanSettings


def steps_before(settings: ScenarioGanSettings, task: Task) -> int:
    """Increments up to a sample that a segment holds.

    Raises FitFailure: the segment is shorter than the path, or longer than window and path.
    """
    before = task.length if settings.segment is None else settings.segment - task.outputs
    if not 0 <= before <= task.length:
        raise FitFailure(
            f"segment: {settings.segment} must lie between {task.outputs} (the paths) and {task.outputs + task.length} (window and path)"
        )
    return before


class PastIncrements:
    """Draws the last increments of samples, in units of their entity's deviation; takes the place of
    `finflow.models.networks.batches.Batches`."""

    prepared = None

    def __init__(self, samples: Samples, task: Task, length: int, deviation: Float64) -> None:
        self.samples, self.task, self.length, self.deviation = samples, task, length, deviation

    def __len__(self) -> int:
        return len(self.samples)

    def draw(self, positions: Int64) -> Float32:
        """float32, [batch, length]; NaN before an entity's first row."""
        past = past_increments(self.samples.take(positions), self.task, self.length)
        return (past / self.deviation[positions, None]).astype(np.float32)


def scenario_part(samples: Samples, task: Task, settings: ScenarioGanSettings, deviations: Mapping[int, float], pooled: float) -> Part:
    """A part of a fold: each sample's past increments, and as targets the steps of its label, both standardised.

    Args:
        deviations: by entity code, of the training part; an entity that is not there has `pooled`.

    Raises:
        FitFailure: no sample is labelled, or the segment is longer than window and path.
    """
    # late: loads pytorch_lightning, torch
    from finflow.models.networks.modules.training import Part

    before = steps_before(settings, task)
    samples = samples.take(samples.index.labelled)
    if not len(samples):
        raise FitFailure("no sample of a part is labelled: every path has steps that are missing or not known yet")
    deviation = np.array([deviations.get(int(entity), pooled) for entity in samples.index.entity])
    steps = np.diff(samples.targets.astype(np.float64), axis=1, prepend=0.0) / deviation[:, None]
    length = max(settings.filter, before)
    return Part(PastIncrements(samples, task, length, deviation), steps.astype(np.float32))  # type: ignore[arg-type]
