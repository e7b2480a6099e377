"""Dense layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def dense_layers(inputs: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear layers, each followed by SiLU (smooth, so that small networks find products of inputs) and dropout."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.SiLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = width
    return nn.Sequential(*layers)


class DenseBody(nn.Module):
    """[batch, length, features] flattened, to [batch, width]."""

    def __init__(self, inputs: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.width = hidden[-1]
        self.layers = dense_layers(inputs, hidden, dropout)

    def forward(self, windows: Tensor) -> Tensor:
        output: Tensor = self.layers(windows.flatten(1))
        return output
