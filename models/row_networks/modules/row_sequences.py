"""Bodies that read an entity's last rows, of which those before its first are not real."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from finflow.models.networks.modules.cnn import CnnBody
from finflow.models.networks.modules.recurrent import RecurrentBody


class RecurrentRows(nn.Module):
    """[batch, length, inputs] to [batch, width]; rows that are not real come at the beginning, and never reach the state."""

    def __init__(self, body: RecurrentBody) -> None:
        super().__init__()
        self.body, self.width = body, body.width

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        count = real[..., 0].sum(1).long()
        length = rows.shape[1]
        # Real rows first: what comes after the step that is read has no say.
        places = (torch.arange(length, device=rows.device) + (length - count)[:, None]).clamp_max(length - 1)
        moved = rows.gather(1, places[..., None].expand_as(rows))
        output: Tensor = self.body(moved, count - 1)
        return output


class ConvolvedRows(nn.Module):
    """[batch, length, inputs] to [batch, width]; rows that are not real are noughts, like the padding before a window."""

    def __init__(self, body: CnnBody) -> None:
        super().__init__()
        self.body, self.width = body, body.width

    def forward(self, rows: Tensor, real: Tensor) -> Tensor:
        output: Tensor = self.body(rows)
        return output
