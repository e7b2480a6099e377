"""Training of a generator against a critic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.base import Task
from models.gan import GanSettings
from models.modules.gan import Critic, Generator
from models.modules.training import Part, Training


class AdversarialTraining(Training):
    """One step of the critic, one of the generator, with the non-saturating loss (Goodfellow et al., 2014).

    Early stopping watches the pinball loss of the drawn quantiles on the validation part: an adversarial loss says nothing about the
    forecast. The `train_loss` in the history is the critic's, in nats: 2 log 2 when it can tell nothing apart.
    """

    forecaster: Generator
    settings: GanSettings

    def __init__(self, forecaster: Generator, settings: GanSettings, task: Task, train: Part, validation: Part, seed: int) -> None:
        super().__init__(forecaster, settings, train, validation, seed)
        self.critic = Critic(settings, task)

    def configure_optimizers(self) -> Any:
        # Little momentum, as is usual where two networks chase each other (Radford et al., 2016).
        return [self.optimizer_of(self.forecaster, betas=(0.5, 0.99)), self.optimizer_of(self.critic, betas=(0.5, 0.99))]

    def learn(self, windows: Tensor, targets: Tensor) -> Tensor:
        generator_optimizer, critic_optimizer = self.optimizers()  # type: ignore[attr-defined]
        noise = torch.randn(len(windows), 1, self.forecaster.noise, device=windows.device, dtype=windows.dtype)
        real = self.forecaster.steps(targets)
        drawn = self.forecaster.draws(windows, noise)[:, 0]

        state = self.critic.state(windows)
        critic_loss = functional.softplus(-self.critic(state, real)).mean() + functional.softplus(self.critic(state, drawn.detach())).mean()
        self.descend(critic_optimizer, critic_loss, self.critic)

        generator_loss = functional.softplus(-self.critic(state.detach(), drawn)).mean()
        self.descend(generator_optimizer, generator_loss, self.forecaster)
        return critic_loss.detach()
