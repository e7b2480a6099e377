"""Dense layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from finflow.models.networks.modules.share import Share


class Dropout(nn.Dropout):
    """Dropout that draws for the whole batch and takes this device's share of the draws, so that they do not depend on the devices."""

    share: Share | None = None

    def forward(self, values: Tensor) -> Tensor:
        if self.share is None or not self.training or self.p == 0:
            return super().forward(values)
        drawn: Tensor = super().forward(values.new_ones(self.share.count, *values.shape[1:]))
        return values * self.share.of(drawn)


def dense_layers(inputs: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear layers, each followed by SiLU (smooth, so that small networks find products of inputs) and dropout."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.SiLU()]
        if dropout:
            layers.append(Dropout(dropout))
        inputs = width
    return nn.Sequential(*layers)


class SharedDropout(nn.Module):
    """Dropout over [batch, steps, channels] that drops a channel at all steps or at none (Gal and Ghahramani, 2016); cheaper, too."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.dropout.p == 0:
            return values
        return values * self.dropout(torch.ones_like(values[:, :1]))


class DenseBody(nn.Module):
    """[batch, length, features] flattened, to [batch, width]."""

    def __init__(self, inputs: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.width = hidden[-1]
        self.layers = dense_layers(inputs, hidden, dropout)

    def forward(self, windows: Tensor) -> Tensor:
        output: Tensor = self.layers(windows.flatten(1))
        return output
