"""Rows beside the numbers that a frozen autoencoder reduces them to, as the inputs of another network."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from finflow.models.row_networks.modules.rows import RowBody, RowInputs


class Encoder(nn.Module):
    """The half of an autoencoder that reduces rows, standardised by the training part; nothing of it is learnt any more.

    Args:
        inputs: how the autoencoder reads encoded rows; the numbers of a row are the same as for the network beside it.
        body: from there to the bottleneck.
    """

    location: Tensor
    inverse: Tensor

    def __init__(self, inputs: RowInputs, body: RowBody) -> None:
        super().__init__()
        self.inputs, self.body, self.width = inputs, body, body.width
        self.register_buffer("location", torch.zeros(body.width))
        self.register_buffer("inverse", torch.ones(body.width))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Never: its dropout stays off while the network that reads it is trained."""
        return super().train(False)

    def read(self, numbers: Tensor, vectors: Tensor) -> Tensor:
        """[..., width]: of the parts of rows (`RowInputs.parts`, of its own `inputs`); smooth in both."""
        values = self.inputs.read(numbers, vectors)
        # The body reads the last row of a sequence; here each row is one by itself.
        code: Tensor = self.body(values.reshape(-1, 1, values.shape[-1])).reshape(*values.shape[:-1], self.width)
        return (code - self.location) * self.inverse


class ReducedInputs(RowInputs):
    """The inputs of a network that reads, beside each row, what an encoder reduces it to.

    A category has a vector of this network's and one of the encoder's: `parts` gives all of the former, then all of the latter, and so do
    `widths`; what is attributed to a category is what both were.
    """

    def __init__(self, encoder: Encoder, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.encoder = encoder
        self.own_vectors = sum(self.widths)
        self.widths = [*self.widths, *encoder.inputs.widths]
        self.width += encoder.width
        self.reduced_scale = None if self.scale is None else nn.Parameter(torch.ones(encoder.width))

    def parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        numbers, vectors = super().parts(rows)
        return numbers, torch.cat((vectors, self.encoder.inputs.parts(rows)[1]), dim=-1)

    def read(self, numbers: Tensor, vectors: Tensor) -> Tensor:
        ours, theirs = vectors[..., : self.own_vectors], vectors[..., self.own_vectors :]
        reduced = self.encoder.read(numbers, theirs)
        reduced = reduced if self.reduced_scale is None else reduced * self.reduced_scale
        return torch.cat((super().read(numbers, ours), reduced), dim=-1)
