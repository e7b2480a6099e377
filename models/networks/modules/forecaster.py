"""A whole network: a body that reads scaled windows, and a head that makes a forecast of what the body found."""

from __future__ import annotations

from torch import Tensor, nn

from finflow.models.base import Task
from finflow.models.networks.learnt import learnt
from finflow.models.networks.modules.heads import Head, Learner
from finflow.models.networks.network_settings import NetworkSettings


class Forecaster(Learner):
    """Base of what a network trains: windows [batch, length, features] to quantiles [batch, outputs, levels], all scaled."""


class Supervised(Forecaster):
    """A body and a head, trained by the head's loss. `centred`: each window's own mean is taken off first, feature by feature."""

    def __init__(self, body: nn.Module, head: Head, centred: bool = False) -> None:
        super().__init__()
        self.body, self.head, self.centred = body, head, centred

    def begin(self, targets: Tensor) -> None:
        self.head.begin(targets)

    def forward(self, windows: Tensor) -> Tensor:
        if self.centred:
            windows = windows - windows.mean(dim=1, keepdim=True)
        output: Tensor = self.head(self.body(windows))
        return output

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return self.head.loss(output, targets)

    def finish(self, output: Tensor, targets: Tensor) -> None:
        self.head.finish(output, targets)

    def quantiles(self, output: Tensor) -> Tensor:
        return self.head.quantiles(output)


def supervised(body: nn.Module, settings: NetworkSettings, task: Task) -> Supervised:
    """Put the head that learns the task's answer, by the settings' loss, on a body with an attribute `width` (features it gives)."""
    width = int(body.width)  # type: ignore[arg-type]
    return Supervised(body, learnt(task).head(width, settings, task), settings.centred)
