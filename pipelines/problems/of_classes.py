"""What problems have in common whose answer is one of some classes, as probabilities."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.problems.base import Problem


class OfClasses(Problem):
    """Targets are positions of classes; a model is asked for the probability of each."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Their names, by position."""

    def task(self, columns: tuple[str, ...], features: tuple[str, ...]) -> Task:
        return Task(
            kind="probabilities",
            outputs=1,
            levels=(),
            classes=self.classes,
            columns=columns,
            features=features,
            length=self.window.length,
        )


def codes_of(index: SampleIndex) -> NDArray[np.int64]:
    """int64, [n]: the position of the class that came, of labelled samples."""
    return index.target[:, 0].astype(np.int64)
