"""Stacked recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from finflow.models.networks.modules.dense import SharedDropout, dense_layers

CELLS: dict[str, Callable[..., nn.Module]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class RecurrentBody(nn.Module):
    """[batch, length, features] to [batch, width]: the state of the last layer at the last step, through dense layers."""

    def __init__(self, inputs: int, cell: str, hidden: Sequence[int], dense: Sequence[int], dropout: float) -> None:
        super().__init__()
        sizes = (inputs, *hidden)
        self.layers = nn.ModuleList(CELLS[cell](before, after, batch_first=True) for before, after in zip(sizes, hidden, strict=False))
        self.dropout = SharedDropout(dropout)
        self.dense = dense_layers(hidden[-1], dense, dropout)
        self.width = dense[-1] if dense else hidden[-1]

    def forward(self, windows: Tensor, last: Tensor | None = None) -> Tensor:
        """`last`: int64, [batch]; the step that is read where it is not the window's last. Later steps have no say then."""
        states = windows
        for layer in self.layers:
            states, _ = layer(states)
            states = self.dropout(states)
        read = states[:, -1] if last is None else states[torch.arange(len(states), device=states.device), last]
        output: Tensor = self.dense(read)
        return output
