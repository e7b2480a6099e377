"""Training of a generator against a critic."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from models.base import Task
from models.gan import GanSettings
from models.modules.gan import Critic, Generator
from models.modules.training import Part, Training

#: Weight of the penalty on the critic's slope.
PENALTY = 2.0
#: The generator that is kept is an average over about 1 / (1 - MEMORY) steps.
MEMORY = 0.99
#: The critic learns so many times as fast as the generator.
PACE = 2.0


class AdversarialTraining(Training):
    """One step of the critic, one of the generator, with the non-saturating loss (Goodfellow et al., 2014).

    Two networks that chase each other go round in circles. Three remedies: the critic's slope at real paths is penalised (Mescheder,
    Geiger and Nowozin, 2018), it learns faster than the generator (Heusel et al., 2017), and the generator that is judged and kept has
    the running average of the weights (Yazici et al., 2019).

    Early stopping watches the pinball loss of the drawn quantiles on the validation part: an adversarial loss says nothing about the
    forecast. The `train_loss` in the history is the critic's, in nats: 2 log 2 when it can tell nothing apart.
    """

    alternates: ClassVar[bool] = True  # the critic, in the generator's step

    forecaster: Generator
    settings: GanSettings

    def __init__(self, forecaster: Generator, settings: GanSettings, task: Task, train: Part, validation: Part, seed: int) -> None:
        super().__init__(forecaster, settings, train, validation, seed)
        self.critic = Critic(settings, task)
        self._averages: list[Tensor] = []
        self._current: list[Tensor] = []

    def configure_optimizers(self) -> Any:
        # Little momentum, as is usual for such pairs (Radford, Metz and Chintala, 2016).
        return [self.optimizer_of(self.forecaster, betas=(0.5, 0.99)), self.optimizer_of(self.critic, betas=(0.5, 0.99))]

    def learn(self, windows: Tensor, targets: Tensor) -> Tensor:
        generator_optimizer, critic_optimizer = self.optimizers()  # type: ignore[attr-defined]
        noise = self.share.of(torch.randn(self.share.count, 1, self.forecaster.noise, device=windows.device, dtype=windows.dtype))
        real = self.forecaster.steps(targets).requires_grad_()
        drawn = self.forecaster.draws(windows, noise)[:, 0]

        state = self.critic.state(windows)
        verdict = self.critic(state, real)
        critic_loss = functional.softplus(-verdict).mean() + functional.softplus(self.critic(state, drawn.detach())).mean()
        (slope,) = torch.autograd.grad(verdict.sum(), real, create_graph=True)
        self.descend(critic_optimizer, critic_loss + PENALTY * slope.square().sum(1).mean(), self.critic, PACE)

        generator_loss = functional.softplus(-self.critic(state.detach(), drawn)).mean()
        self.descend(generator_optimizer, generator_loss, self.forecaster)
        self._remember()
        return critic_loss.detach()

    def on_validation_epoch_start(self) -> None:
        self._current = [parameter.detach().clone() for parameter in self.forecaster.parameters()]
        self._set(self._averages)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self._set(self._current)

    def _remember(self) -> None:
        values = [parameter.detach() for parameter in self.forecaster.parameters()]
        if not self._averages:
            self._averages = [value.clone() for value in values]
        # A shorter memory at first, or a brief training would keep the untrained weights.
        memory = min(MEMORY, (1 + self._taken) / (4 + self._taken))
        torch._foreach_lerp_(self._averages, values, 1 - memory)

    def _set(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.forecaster.parameters(), values, strict=True):
                parameter.copy_(value)
