"""What knows only how often each class came: the base rate, and the class that came most."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from finflow.models.base import ModelSettings
from finflow.models.class_codes import class_codes
from finflow.models.classes.classifier import Classifier
from finflow.models.reading import labelled_together
from finflow.models.samples import Float64, Samples


class ClassFrequencySettings(ModelSettings):
    """None."""


class ClassFrequency(Classifier):
    """Each class's part of the training and validation samples, whatever the sample looks like: what any skill is measured against."""

    Settings: ClassVar[type[ModelSettings]] = ClassFrequencySettings
    family: ClassVar[str] = "base rate"

    def fit_state(self, train: Samples, validation: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        samples = labelled_together(train, validation)
        counts = np.bincount(class_codes(samples, self.task), minlength=len(self.task.classes))
        return {"frequency": counts / counts.sum()}, {"samples": len(samples)}

    def probabilities(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        return np.broadcast_to(state["frequency"], (len(samples), len(self.task.classes)))


class Majority(ClassFrequency):
    """The class that came most often, with certainty. Its accuracy is the one to beat; its log loss is that of a fool."""

    family: ClassVar[str] = "majority"

    def probabilities(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        certain = np.zeros(len(self.task.classes))
        certain[int(np.argmax(state["frequency"]))] = 1.0
        return np.broadcast_to(certain, (len(samples), len(certain)))
