"""How a network learns each form of answer: what it is trained towards, by which head and loss, and how the answer comes back.

A network's output is [n, outputs, width] of scaled numbers. Only these forms can be learnt by every network; see finflow.models.answers for
what the forms are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finflow.models.base import Kind, Prediction, Task
from finflow.models.class_codes import check_classes, class_codes
from finflow.models.errors import FitFailure
from finflow.models.networks.network_settings import NetworkSettings, TrainingSettings
from finflow.models.samples import Float32, Float64, Samples

if TYPE_CHECKING:
    from finflow.models.networks.modules.heads import Head


class Learnt(ABC):
    """One form of answer as networks learn it; it has no state."""

    #: whether targets are scaled as the settings say
    scaled: ClassVar[bool] = False

    @abstractmethod
    def check(self, loss: str, name: str, settings: TrainingSettings, task: Task) -> None:
        """Refuse settings by which this answer cannot be learnt.

        Args:
            loss: of the settings; empty where the network has one of its own.
            name: of the network.

        Raises:
            FitFailure: naming what is asked and what to do.
        """

    @abstractmethod
    def head(self, inputs: int, settings: NetworkSettings, task: Task) -> Head:
        """The last layer and the loss that it is trained by."""

    @abstractmethod
    def width(self, task: Task) -> int:
        """Numbers an output."""

    def targets(self, samples: Samples, task: Task, start: Float64 | None) -> Float64:
        """float64, [n, outputs]: what the network is trained towards.

        Args:
            start: what the answer is counted from, float64, [n, outputs] or [n, 1]; None: from nought. See `Network._start`.

        Raises:
            FitFailure: a target cannot be learnt.
        """
        targets = samples.targets.astype(np.float64)
        return targets if start is None else targets - start

    def inverted(self, answers: Float64) -> Float64:
        """[n, outputs, width]: what the network's unscaled output stands for."""
        return answers

    @abstractmethod
    def prediction(self, values: Float32, task: Task) -> Prediction:
        """Of values [n, outputs, width]."""


class LearntQuantiles(Learnt):
    """By a head for the loss of the settings, or as those of draws."""

    scaled: ClassVar[bool] = True

    def check(self, loss: str, name: str, settings: TrainingSettings, task: Task) -> None:
        if loss == "qlike":
            raise FitFailure("`loss: qlike` learns an expected variance, and this problem asks for its quantiles: set loss: quantile")
        if loss == "cross_entropy":
            check_classes(task, "a network with `loss: cross_entropy`")
        if settings.predicts == "level" and task.level is None:
            raise FitFailure(
                "predicts: level needs a problem whose targets are changes of a level (a price); this one has none: set predicts: change"
            )

    def head(self, inputs: int, settings: NetworkSettings, task: Task) -> Head:
        # late: loads torch
        from finflow.models.networks.modules.heads import HEADS

        return HEADS[settings.loss](inputs, task.outputs, task.levels)

    def width(self, task: Task) -> int:
        return len(task.levels)

    def prediction(self, values: Float32, task: Task) -> Prediction:
        return Prediction("quantiles", values, task.levels)


class LearntVariances(Learnt):
    """As logarithms, so that what comes back is positive."""

    def check(self, loss: str, name: str, settings: TrainingSettings, task: Task) -> None:
        if loss not in ("", "qlike"):
            raise FitFailure(f"expected variances are learnt by `loss: qlike`, not by {loss}: set it, or choose another model")

    def head(self, inputs: int, settings: NetworkSettings, task: Task) -> Head:
        # late: loads torch
        from finflow.models.networks.modules.heads import VarianceHead

        return VarianceHead(inputs, task.outputs, settings.residual != "none")

    def width(self, task: Task) -> int:
        return 1

    def targets(self, samples: Samples, task: Task, start: Float64 | None) -> Float64:
        targets = samples.targets.astype(np.float64)
        if not (targets > 0).all():
            raise FitFailure("a variance among the targets is not positive; only labelled samples can be fitted")
        return np.log(targets) if start is None else np.log(targets) - start

    def inverted(self, answers: Float64) -> Float64:
        return np.exp(answers)

    def prediction(self, values: Float32, task: Task) -> Prediction:
        return Prediction("variances", values[:, :, 0])


class LearntProbabilities(Learnt):
    """As logits, a class each."""

    def check(self, loss: str, name: str, settings: TrainingSettings, task: Task) -> None:
        if loss != "cross_entropy":
            raise FitFailure(f"probabilities of classes are learnt by `loss: cross_entropy`, not by {loss or name}: set it")

    def head(self, inputs: int, settings: NetworkSettings, task: Task) -> Head:
        # late: loads torch
        from finflow.models.networks.modules.heads import ClassHead

        return ClassHead(inputs, len(task.classes))

    def width(self, task: Task) -> int:
        return len(task.classes)

    def targets(self, samples: Samples, task: Task, start: Float64 | None) -> Float64:
        return class_codes(samples, task)[:, None].astype(np.float64)

    def inverted(self, answers: Float64) -> Float64:
        odds = np.exp(answers - answers.max(axis=2, keepdims=True))
        odds /= odds.sum(axis=2, keepdims=True)
        return odds

    def prediction(self, values: Float32, task: Task) -> Prediction:
        return Prediction("probabilities", values[:, 0, :])


LEARNT: Mapping[Kind, Learnt] = {
    "quantiles": LearntQuantiles(),
    "variances": LearntVariances(),
    "probabilities": LearntProbabilities(),
}


def learnt(task: Task) -> Learnt:
    """How a network answers this task.

    Raises:
        FitFailure: it cannot.
    """
    if task.kind not in LEARNT:
        raise FitFailure(f"this network answers with quantiles; the problem asks for {task.kind}: choose another model")
    return LEARNT[task.kind]
