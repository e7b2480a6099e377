"""The running average of a network's weights: what is judged and kept of two networks that chase each other."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from finflow.models.networks.modules.training import Training


class WeightAverage:
    """An exponential average of a module's parameters (Yazici et al., 2019), over about 1 / (1 - memory) steps."""

    def __init__(self, module: nn.Module, memory: float) -> None:
        self.module, self.memory = module, memory
        self._averages: list[Tensor] = []
        self._current: list[Tensor] = []

    def update(self, taken: int) -> None:
        """Take the weights after so many steps in."""
        values = [parameter.detach() for parameter in self.module.parameters()]
        if not self._averages:
            self._averages = [value.clone() for value in values]
        # A shorter memory at first, or a brief training would keep the untrained weights.
        torch._foreach_lerp_(self._averages, values, 1 - min(self.memory, (1 + taken) / (4 + taken)))

    def put_in(self) -> None:
        """Give the module its average weights, until `take_out`."""
        self._current = [parameter.detach().clone() for parameter in self.module.parameters()]
        self._set(self._averages)

    def take_out(self) -> None:
        self._set(self._current)

    def _set(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.module.parameters(), values, strict=True):
                parameter.copy_(value)


class AveragedTraining(Training):
    """Training that judges and keeps the running average of the forecaster's weights; a subclass calls `average.update` after each step."""

    #: the average is over about 1 / (1 - memory) steps
    memory: ClassVar[float]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.average = WeightAverage(self.forecaster, self.memory)

    def on_validation_epoch_start(self) -> None:
        self.average.put_in()

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.average.take_out()
