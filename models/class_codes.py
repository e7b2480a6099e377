"""The class of each sample as a number, and the check that there are classes to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Task
from finflow.models.errors import FitFailure
from finflow.models.samples import Samples


def check_classes(task: Task, name: str) -> None:
    """Raises FitFailure: the task asks for other than probabilities."""
    if task.kind != "probabilities":
        raise FitFailure(
            f"{name} gives probabilities of classes, and this problem asks for {task.kind}: use it with `problem: {{kind: classify}}` or "
            "`{kind: outcome}`"
        )


def class_codes(samples: Samples, task: Task) -> NDArray[np.int64]:
    """int64, [n]: the position of each sample's class.

    Raises:
        FitFailure: a target is none.
    """
    codes = samples.targets[:, 0]
    if not np.isin(codes, np.arange(len(task.classes))).all():
        raise FitFailure(f"a target is no position among the {len(task.classes)} classes {list(task.classes)}")
    return codes.astype(np.int64)
