"""The running average of a network's weights: what is judged and kept of two networks that chase each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
