"""A denoising autoencoder of rows (Vincent et al., 2008): parts of a row are hidden, and the whole is given back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from finflow.models.row_networks.modules.row_training import RowTraining
from finflow.models.row_networks.modules.rows import Layer, RowBody, RowForecaster, RowInputs
from finflow.models.row_networks.row_settings import AutoencoderSettings


class RowAutoencoder(RowForecaster):
    """Encoded rows [batch, 1, width] to [batch, features + places of all categories]: scaled numbers, and scores of each category's places.

    Args:
        hidden: units of the layers before the bottleneck, and of those after it in the other direction.
        reduced: numbers in the bottleneck.
        signed: positions of the features with a sign of missing.
    """

    def __init__(self, inputs: RowInputs, hidden: Sequence[int], reduced: int, signed: Sequence[int], dropout: float) -> None:
        super().__init__(inputs, RowBody(inputs.width, (*hidden, reduced), "selu", dropout, False, False), False, 0.0)
        self.decoder = RowBody(reduced, tuple(hidden)[::-1], "selu", dropout, False, False)
        self.last = Layer(hidden[0], inputs.features + sum(inputs.sizes), False)
        self.signed = tuple(signed)

    def begin(self, targets: Tensor) -> None:
        """Set out from the centre of every number, and from no preference among categories."""
        self.last.weight.zero_()
        self.last.bias.zero_()

    def reduced(self, rows: Tensor) -> Tensor:
        """[batch, reduced]: the numbers in the bottleneck."""
        code: Tensor = self.body(self.inputs(rows))
        return code

    def forward(self, rows: Tensor) -> Tensor:
        output: Tensor = self.last(self.decoder(self.reduced(rows)[:, None]))
        return output

    def errors(self, output: Tensor, targets: Tensor) -> Tensor:
        """[batch]: squared errors of the numbers that were there and minus the log likelihood of the categories, over how many there are.

        Args:
            targets: [batch, width]; encoded rows, nothing of them hidden.
        """
        inputs, features = self.inputs, self.inputs.features
        present = torch.ones_like(targets[:, :features])
        if self.signed:
            present[:, list(self.signed)] = 1 - targets[:, features : inputs.numbers]
        total = ((output[:, :features] - targets[:, :features]).square() * present).sum(1)
        start = features
        for number, size in enumerate(inputs.sizes):
            place = targets[:, inputs.numbers + number].long()
            total = total + functional.cross_entropy(output[:, start : start + size], place, reduction="none")
            start += size
        return total / (features + len(inputs.sizes))

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return self.errors(output, targets).mean()


class DenoisingTraining(RowTraining):
    """Hides numbers as its base hides categories: in place of a hidden one stands the centre, with the sign of missing if it has one."""

    forecaster: RowAutoencoder
    settings: AutoencoderSettings

    def _hidden(self, rows: Tensor) -> Tensor:
        rows = super()._hidden(rows)
        inputs, chance = self.forecaster.inputs, self.settings.hidden_numbers
        if not chance or not inputs.features:
            return rows
        drawn = self.share.of(torch.rand(self.share.count, rows.shape[1], inputs.features, device=rows.device)) < chance
        numbers = rows[..., : inputs.features].masked_fill(drawn, 0.0)
        signs = rows[..., inputs.features : inputs.numbers]
        if self.forecaster.signed:
            signs = signs.masked_fill(drawn[..., list(self.forecaster.signed)], 1.0)
        return torch.cat((numbers, signs, rows[..., inputs.numbers :]), dim=-1)
