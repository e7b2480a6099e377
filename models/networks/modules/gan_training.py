"""Training of a generator against a critic."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from finflow.models.base import Task
from finflow.models.networks.modules.averaging import AveragedTraining
from finflow.models.networks.modules.gan import Critic, Generator
from finflow.models.networks.modules.heads import sample_crps
from finflow.models.networks.modules.training import Part
from finflow.models.networks.network_settings import GanSettings

#: Weight of the penalty on the critic's slope.
PENALTY = 2.0
#: The critic learns so many times as fast as the generator.
PACE = 2.0


class AdversarialTraining(AveragedTraining):
    """One step of the critic, one of the generator, with the non-saturating loss (Goodfellow et al., 2014) and the CRPS of its draws.

    The critic judges a path as a whole, the CRPS every target by itself: together they ask for the right spread and the right dependence.

    Two networks that chase each other go round in circles. Three remedies: the critic's slope at real paths is penalised (Mescheder,
    Geiger and Nowozin, 2018), it learns faster than the generator (Heusel et al., 2017), and the generator that is judged and kept has
    the running average of the weights (Yazici et al., 2019).

    Early stopping watches the pinball loss of the drawn quantiles (of variances, QLIKE) on the validation part: an adversarial loss says
    nothing about the forecast. The `train_loss` in the history is the critic's, in nats: 2 log 2 when it can tell nothing apart.
    """

    alternates: ClassVar[bool] = True  # the critic, in the generator's step

    memory: ClassVar[float] = 0.99

    forecaster: Generator
    settings: GanSettings

    def __init__(self, forecaster: Generator, settings: GanSettings, task: Task, train: Part, validation: Part, seed: int) -> None:
        super().__init__(forecaster, settings, train, validation, seed)
        self.critic = Critic(settings, task)

    def configure_optimizers(self) -> Any:
        # Little momentum, as is usual for such pairs (Radford, Metz and Chintala, 2016).
        return [self.optimizer_of(self.forecaster, betas=(0.5, 0.99)), self.optimizer_of(self.critic, betas=(0.5, 0.99))]

    def learn(self, windows: Tensor, targets: Tensor) -> Tensor:
        generator_optimizer, critic_optimizer = self.optimizers()  # type: ignore[attr-defined]
        count, weight = self.settings.draws, self.settings.crps_weight
        shape = (self.share.count, count if weight else 1, self.forecaster.noise)
        noise = self.share.of(torch.randn(shape, device=windows.device, dtype=windows.dtype))
        real = self.forecaster.steps(targets).requires_grad_()
        draws = self.forecaster.draws(windows, noise)
        drawn = draws[:, 0]

        state = self.critic.state(windows)
        verdict = self.critic(state, real)
        critic_loss = functional.softplus(-verdict).mean() + functional.softplus(self.critic(state, drawn.detach())).mean()
        (slope,) = torch.autograd.grad(verdict.sum(), real, create_graph=True)
        self.descend(critic_optimizer, critic_loss + PENALTY * slope.square().sum(1).mean(), self.critic, PACE)

        generator_loss = functional.softplus(-self.critic(state.detach(), drawn)).mean()
        if weight:
            generator_loss = generator_loss + weight * sample_crps(self.forecaster.paths(draws), targets)
        self.descend(generator_optimizer, generator_loss, self.forecaster)
        self.average.update(self._taken)
        return critic_loss.detach()
