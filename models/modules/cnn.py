"""Dilated causal convolutions, read at the last step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.modules.dense import dense_layers


class Block(nn.Module):
    """Two causal convolutions of one dilation with a residual path (Bai, Kolter and Koltun, 2018)."""

    def __init__(self, inputs: int, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.first = nn.Conv1d(inputs, channels, kernel, dilation=dilation)
        self.second = nn.Conv1d(channels, channels, kernel, dilation=dilation)
        self.skip: nn.Module = nn.Conv1d(inputs, channels, 1) if inputs != channels else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """[batch, inputs, steps] to [batch, channels, steps - 2 * reach]: no padding, so nothing is computed that is not used."""
        found = self.dropout(torch.relu(self.first(values)))
        found = self.dropout(torch.relu(self.second(found)))
        output: Tensor = torch.relu(found + self.skip(values[:, :, 2 * self.reach :]))
        return output


class CnnBody(nn.Module):
    """[batch, length, features] to [batch, width]: block b has dilation 2**b; only the last step is computed.

    Steps before the window, where the blocks reach further back than it, are nought.
    """

    def __init__(self, inputs: int, channels: int, kernel: int, layers: int, dense: Sequence[int], dropout: float) -> None:
        super().__init__()
        sizes = (inputs, *[channels] * layers)
        self.blocks = nn.ModuleList(Block(before, channels, kernel, 2**number, dropout) for number, before in enumerate(sizes[:-1]))
        self.reach = 1 + sum(2 * (kernel - 1) * 2**number for number in range(layers))
        self.dense = dense_layers(channels, dense, dropout)
        self.width = dense[-1] if dense else channels

    def forward(self, windows: Tensor) -> Tensor:
        values = windows[:, -self.reach :].transpose(1, 2)
        values = functional.pad(values, (self.reach - values.shape[2], 0)).contiguous()
        for block in self.blocks:
            values = block(values)
        output: Tensor = self.dense(values[:, :, -1])
        return output
