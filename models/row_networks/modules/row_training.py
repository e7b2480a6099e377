"""Training of networks of rows: decay, dropout and learning rates that follow their schedules, and categories hidden now and then."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from finflow.models.networks.modules.averaging import AveragedTraining
from finflow.models.networks.modules.dense import Dropout
from finflow.models.networks.modules.training import Training, flat_cosine
from finflow.models.row_networks.modules.rows import RowForecaster
from finflow.models.row_networks.row_settings import RowNetworkSettings
from finflow.models.rows.categories import UNKNOWN_PLACE


class RowTraining(Training):
    """Adam with decoupled decay (AdamW), in groups with learning rates of their own.

    In every step each category of each row is hidden with the probability `hidden_categories`: read as unknown, so that what an unknown
    category says is learnt. With `fade`, dropout and decay stay as they are for half of the training and then go down to nothing.
    """

    forecaster: RowForecaster
    settings: RowNetworkSettings

    def configure_optimizers(self) -> Any:
        groups = self.forecaster.groups(self.settings.factors)
        for group in groups:
            group["weight_decay"] = self.settings.weight_decay if group["decays"] else 0.0
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate, betas=(0.9, self.settings.beta2), fused=True)

    def learn(self, windows: Tensor, targets: Tensor) -> Tensor:
        if self.settings.fade:
            self._fade(flat_cosine(self._taken / (self.steps * self.settings.epochs)))
        return super().learn(self._hidden(windows), targets)

    def _fade(self, strength: float) -> None:
        for module in self.forecaster.modules():
            if isinstance(module, Dropout):
                module.p = self.settings.dropout * strength
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            if group["decays"]:
                group["weight_decay"] = self.settings.weight_decay * strength

    def _hidden(self, rows: Tensor) -> Tensor:
        inputs = self.forecaster.inputs
        chance, count = self.settings.hidden_categories, len(inputs.sizes)
        if not chance or not count:
            return rows
        drawn = self.share.of(torch.rand(self.share.count, rows.shape[1], count, device=rows.device)) < chance
        places = rows[..., inputs.numbers : inputs.numbers + count]
        unknown = torch.where(drawn, torch.full_like(places, UNKNOWN_PLACE), places)
        return torch.cat((rows[..., : inputs.numbers], unknown, rows[..., inputs.numbers + count :]), dim=-1)


class AveragedRowTraining(AveragedTraining, RowTraining):
    """The same, judging and keeping the running average of the weights over about 200 steps."""

    memory = 0.995

    def learn(self, windows: Tensor, targets: Tensor) -> Tensor:
        loss = super().learn(windows, targets)
        self.average.update(self._taken)
        return loss
