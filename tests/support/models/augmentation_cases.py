"""Sources of training samples in place of the fitted generator, and what tests of augmentation share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from finflow.models.augmentation import AugmentationVerdict
from finflow.models.base import Hardware, Model, Task
from finflow.models.networks.batches import Batches
from finflow.models.networks.modules.training import Part
from finflow.models.networks.modules.window_generator import Source
from finflow.models.networks.network import Network
from finflow.models.networks.scaling import fit_scaling
from finflow.models.samples import Samples
from tests.support.models.network_cases import network, split
from tests.support.patching import replace_everywhere

#: A short trial.
BRIEF: dict[str, Any] = {"seeds": 3, "steps": 5}


class Drawn(Source):
    """Draws from ready-made scaled samples."""

    windows: Tensor
    targets: Tensor

    def __init__(self, windows: Tensor, targets: Tensor) -> None:
        super().__init__()
        self.register_buffer("windows", windows)
        self.register_buffer("targets", targets)

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(self.windows), (count,), generator=random)
        return self.windows[chosen], self.targets[chosen]


class Junk(Source):
    """A collapsed generator: one window, always the same, with targets that have nothing to do with it."""

    def __init__(self, train: Part) -> None:
        super().__init__()
        self.register_buffer("window", torch.from_numpy(train.batches.draw(np.arange(1))))
        self.outputs = train.targets.shape[1]

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.window.expand(count, -1, -1), 3 + torch.randn(count, self.outputs, generator=random)  # type: ignore[operator]


def from_truth(train: Part, samples: Samples, task: Task) -> Drawn:
    """A perfect generator: fresh samples of the same process, scaled as the training part is."""
    scaling = train.batches.scaling
    windows = Batches(samples, scaling, task).draw(np.arange(len(samples)))
    return Drawn(torch.from_numpy(windows), torch.from_numpy(scaling.targets(samples.targets.astype(float))))


def use_source(patch: pytest.MonkeyPatch, make: Any) -> None:
    """`make(train, steps)` in place of the fitted generator."""
    patch.setattr(Network, "source", lambda self, train, steps: make(train, steps))


def keep_always(patch: pytest.MonkeyPatch) -> None:
    """Whatever the validation part says, so that the fit is one with generated samples."""
    replace_everywhere(patch, "finflow.models.augmentation.judge", lambda *arguments: AugmentationVerdict(True, "the test says so"))


def trained(name: str, data: tuple[Samples, Task], seed: int = 1, hardware: Hardware | None = None, **settings: Any) -> tuple[Model, Any]:
    """A tiny network fitted on the first three fifths of the dates, and its report."""
    train, validation, _ = split(data[0])
    model = network(name, data[1], **settings)
    return model, model.fit(train, validation, seed=seed, hardware=hardware or Hardware())


def scaled_part(samples: Samples, task: Task) -> Part:
    """The samples as a network sees its training part."""
    targets = samples.targets.astype(np.float64)
    scaling = fit_scaling("standard", samples, task, targets, scale_targets=task.kind == "quantiles")
    return Part(Batches(samples, scaling, task), scaling.targets(targets))
