"""Training of a generator of scenarios against a critic of return paths."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from finflow.models.base import Task
from finflow.models.networks.modules.averaging import AveragedTraining
from finflow.models.networks.modules.training import Part
from finflow.models.paths.modules.moments import Moments
from finflow.models.paths.modules.scenario import ScenarioCritic, ScenarioGenerator
from finflow.models.paths.scenario_segments import steps_before
from finflow.models.paths.scenario_settings import ScenarioGanSettings

#: The critic learns so many times as fast as the generator: its slope is bounded, while the generator has a scale to find.
CRITIC_PACE = 0.4
#: Steps of training segments that the moments are taken over, at most: torch finds no quantiles of more than 16 million numbers.
STEPS = 2_000_000


class ScenarioTraining(AveragedTraining):
    """One step of the critic, one of the generator, with the hinge loss (Lim and Ye 2017; Miyato et al. 2018), Adam without momentum.

    The generator's loss has a further term, by weight: the distance of its moments from those of the training part. Early stopping watches
    the exact likelihood of real paths on the validation part, which an adversarial loss says nothing of. The `train_loss` in the history is
    the critic's.
    """

    memory: ClassVar[float] = 0.995

    forecaster: ScenarioGenerator
    settings: ScenarioGanSettings

    def __init__(
        self, forecaster: ScenarioGenerator, settings: ScenarioGanSettings, task: Task, train: Part, validation: Part, seed: int
    ) -> None:
        super().__init__(forecaster, settings, train, validation, seed)
        self.critic = ScenarioCritic(settings)
        self.before = steps_before(settings, task)
        some = torch.linspace(0, len(train) - 1, min(len(train), max(1, STEPS // (self.before + task.outputs)))).long().numpy()
        targets = torch.from_numpy(train.targets)
        forecaster.begin(targets)
        segments = self._segments(torch.from_numpy(train.batches.draw(some)), targets[torch.from_numpy(some)])
        self.moments = Moments(segments)

    def configure_optimizers(self) -> Any:
        return [self.optimizer_of(self.forecaster, betas=(0.0, 0.9)), self.optimizer_of(self.critic, betas=(0.0, 0.9))]

    def learn(self, windows: Tensor, targets: Tensor) -> Tensor:
        generator_optimizer, critic_optimizer = self.optimizers()  # type: ignore[attr-defined]
        real = self._segments(windows, targets)
        shape = (len(real), self.forecaster.reach + real.shape[1])
        with torch.no_grad():
            drawn = self.forecaster.draw(torch.randn(shape, device=real.device, dtype=real.dtype))
        critic_loss = functional.relu(1 - self.critic(real)).mean() + functional.relu(1 + self.critic(drawn)).mean()
        self.descend(critic_optimizer, critic_loss, self.critic, CRITIC_PACE)

        drawn = self.forecaster.draw(torch.randn(shape, device=real.device, dtype=real.dtype))
        loss = -self.critic(drawn).mean()
        if self.settings.moments:
            loss = loss + self.settings.moments * self.moments.distance(drawn)
        self.descend(generator_optimizer, loss, self.forecaster)
        self.average.update(self._taken)
        return critic_loss.detach()

    def notes(self) -> dict[str, object]:
        """What is worth a line in the report."""
        return {"parameters_of_the_critic": sum(parameter.numel() for parameter in self.critic.parameters())}

    def _segments(self, windows: Tensor, targets: Tensor) -> Tensor:
        """[batch, segment]: the end of each past and the steps after it."""
        return torch.cat((windows[:, windows.shape[1] - self.before :], targets), dim=1)
