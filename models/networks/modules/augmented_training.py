"""Training with generated samples beside the real ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from finflow.models.networks.modules.dense import Dropout
from finflow.models.networks.modules.forecaster import Forecaster
from finflow.models.networks.modules.training import Part, Training
from finflow.models.networks.modules.window_generator import Source
from finflow.models.networks.network_settings import TrainingSettings


class AugmentedTraining(Training):
    """The same training, with `share` generated samples beside each real one in every step, drawn anew each time.

    First weights, epochs, steps, learning rates, and the order of the real samples are those of the training without: what differs is
    that a step's loss is the mean over real and generated samples (which makes a step dearer). The validation part is real, all of it.
    The `train_loss` in the history is of both together.
    """

    def __init__(
        self, forecaster: Forecaster, settings: TrainingSettings, train: Part, validation: Part, seed: int, source: Source, share: float
    ) -> None:
        super().__init__(forecaster, settings, train, validation, seed)
        self.source, self.generated = source, share
        self._random: Any = None

    def on_fit_start(self) -> None:
        super().on_fit_start()
        # Over several devices each draws its own samples, and so its own dropout: no mask of one device's would fit.
        self._random = torch.Generator().manual_seed(self.seed * 1000 + self.global_rank)
        if self.share.world > 1:
            torch.manual_seed(self.seed + self.global_rank)
            for module in self.modules():
                if isinstance(module, Dropout):
                    module.share = None

    def learn(self, windows: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            made, answers = self.source.draw(max(1, round(self.generated * len(windows))), self._random)
        return super().learn(torch.cat((windows, made.to(windows))), torch.cat((targets, answers.to(targets))))
