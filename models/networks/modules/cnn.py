"""Dilated causal convolutions, read at the last step; and plain convolutions with pooling, read whole."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from finflow.models.networks.modules.dense import SharedDropout, dense_layers


class Convolution(nn.Module):
    """A causal convolution without padding over [batch, steps, inputs], every `stride` steps.

    Written as one matrix product over the taken steps side by side: for the few channels that suit prices this is three times as fast on a
    CPU as the convolution kernels, which are made for images.
    """

    def __init__(self, inputs: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.linear = nn.Linear(inputs * kernel, channels)

    def forward(self, values: Tensor) -> Tensor:
        """[batch, (steps - kernel) // stride + 1, channels]."""
        last = values.shape[1] - self.kernel + 1
        taken = torch.cat([values[:, step : last + step : self.stride] for step in range(self.kernel)], dim=2)
        output: Tensor = self.linear(taken)
        return output


class Block(nn.Module):
    """Two causal convolutions and a residual path (Bai, Kolter and Koltun, 2018), computed at every second step.

    Only the last step of the network is read. For that, a stack of blocks whose dilation doubles needs every second output of its first
    block, every fourth of its second, and so on; so the steps are halved block by block, and the dilation comes of itself.
    """

    def __init__(self, inputs: int, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.reach = 2 * (kernel - 1)
        self.first = Convolution(inputs, channels, kernel, 1)
        self.second = Convolution(channels, channels, kernel, 2)
        self.skip: nn.Module = nn.Linear(inputs, channels) if inputs != channels else nn.Identity()
        self.dropout = SharedDropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """[batch, steps, inputs] to [batch, (steps - reach - 1) // 2 + 1, channels]; steps is odd."""
        hidden = self.dropout(torch.relu(self.first(values)))
        hidden = self.dropout(torch.relu(self.second(hidden)))
        output: Tensor = torch.relu(hidden + self.skip(values[:, self.reach :: 2]))
        return output


class CnnBody(nn.Module):
    """[batch, length, features] to [batch, width]: block b has dilation 2**b, and the last step is read.

    Steps before the window, where the blocks reach further back than it, are nought.
    """

    def __init__(self, inputs: int, channels: int, kernel: int, layers: int, dense: Sequence[int], dropout: float) -> None:
        super().__init__()
        sizes = (inputs, *[channels] * layers)
        self.blocks = nn.ModuleList(Block(before, channels, kernel, dropout) for before in sizes[:-1])
        self.reach = 1 + 2 * (kernel - 1) * (2**layers - 1)
        self.dense = dense_layers(channels, dense, dropout)
        self.width = dense[-1] if dense else channels

    def forward(self, windows: Tensor) -> Tensor:
        values = functional.pad(windows, (0, 0, max(0, self.reach - windows.shape[1]), 0))[:, -self.reach :]
        for block in self.blocks:
            values = block(values)
        output: Tensor = self.dense(values[:, -1])
        return output


class PooledBody(nn.Module):
    """[batch, length, features] to [batch, width]: convolutions, each with ReLU and max pooling; dense layers on what is left."""

    def __init__(
        self, inputs: int, length: int, channels: int, kernel: int, layers: int, pool: int, dense: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        sizes = (inputs, *[channels] * layers)
        self.convolutions = nn.ModuleList(Convolution(before, channels, kernel, 1) for before in sizes[:-1])
        self.pool = pool
        self.dropout = SharedDropout(dropout)
        flat = channels * pooled_steps(length, kernel, layers, pool)
        self.dense = dense_layers(flat, dense, dropout)
        self.width = dense[-1] if dense else flat

    def forward(self, windows: Tensor) -> Tensor:
        values = windows
        for convolution in self.convolutions:
            hidden = torch.relu(convolution(values))
            steps = hidden.shape[1] // self.pool
            # steps that fill no pool are left out, the newest ones stay
            hidden = hidden[:, hidden.shape[1] - steps * self.pool :]
            values = self.dropout(hidden.reshape(len(hidden), steps, self.pool, -1).amax(dim=2))
        output: Tensor = self.dense(values.flatten(1))
        return output


def pooled_steps(length: int, kernel: int, layers: int, pool: int) -> int:
    """Steps that are left after so many convolutions without padding, each pooled; below 1: the window is too short."""
    for _ in range(layers):
        length = (length - kernel + 1) // pool
    return length
