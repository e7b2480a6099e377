"""The generator and the critic of a conditional generative network (ForGAN: Koochali et al., 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from finflow.models.base import Task
from finflow.models.networks.modules.forecaster import Forecaster
from finflow.models.networks.modules.heads import ONE, pinball, qlike, quiet_linear
from finflow.models.networks.modules.recurrent import RecurrentBody
from finflow.models.networks.network_settings import GanSettings


class Generator(Forecaster):
    """Window and noise to a path.

    Where targets are sums of steps (h-step returns) the network draws the steps, each in units of its own spread, and adds them up:
    the steps of a price are nearly independent, so they are easier to draw than the path. It starts as nearly independent, nearly normal
    steps of the training part's mean and spread. Spread follows the window, and differs from draw to draw: mixing scales is what makes
    tails heavy (a Student t is such a mixture: Andrews and Mallows, 1974).
    """

    levels: Tensor
    table: Tensor
    step_location: Tensor
    step_scale: Tensor

    def __init__(self, settings: GanSettings, task: Task) -> None:
        super().__init__()
        self.sums, self.mean = task.increment is not None, task.kind == "variances"
        self.noise, self.outputs = settings.noise, task.outputs
        self.window = RecurrentBody(len(task.features), settings.cell, (settings.hidden,), (), settings.dropout)
        self.mix = nn.Sequential(nn.Linear(settings.hidden + settings.noise, settings.hidden), nn.SiLU())
        self.draw = nn.Linear(settings.hidden, task.outputs)
        self.direct = nn.Linear(settings.noise, task.outputs, bias=False)
        self.spread = quiet_linear(settings.hidden, task.outputs)
        self.mixture = nn.Linear(settings.noise, task.outputs, bias=False)
        with torch.no_grad():
            self.draw.weight.mul_(0.1)
            self.draw.bias.zero_()
            self.mixture.weight.mul_(0.1)
            self.direct.weight.copy_(nn.functional.normalize(_directions(task.outputs, settings.noise), dim=1))
        self.register_buffer("levels", torch.tensor(task.levels), persistent=False)
        self.register_buffer("table", even_normals(settings.paths, settings.noise))
        self.register_buffer("step_location", torch.zeros(task.outputs))
        self.register_buffer("step_scale", torch.ones(task.outputs))

    def begin(self, targets: Tensor) -> None:
        steps = self._differences(targets)
        self.step_location.copy_(steps.mean(0))
        self.step_scale.copy_(steps.std(0, correction=0).clamp_min(1e-3))

    def steps(self, targets: Tensor) -> Tensor:
        """[..., outputs]: the steps that make up paths, in units of their spread: what the critic reads."""
        return (self._differences(targets) - self.step_location) / self.step_scale

    def draws(self, windows: Tensor, noise: Tensor) -> Tensor:
        """Steps [batch, paths, outputs] for noise [batch or 1, paths, noise]."""
        state = self.window(windows)
        # The layer over (state, noise) as the sum of two, so that the state's part is computed once for all paths.
        layer: nn.Linear = self.mix[0]  # type: ignore[assignment]
        weight_state, weight_noise = layer.weight.split((state.shape[1], self.noise), dim=1)
        mixed = (state @ weight_state.T + layer.bias)[:, None] + noise @ weight_noise.T
        spread = nn.functional.softplus(self.spread(state)[:, None] + self.mixture(noise) + ONE)
        drawn: Tensor = self.draw(self.mix[1](mixed)) + spread * self.direct(noise)
        return drawn

    def forward(self, windows: Tensor) -> Tensor:
        """Sorted draws [batch, paths, outputs] of the targets, from the fixed table of noise."""
        return self.paths(self.draws(windows, self.table[None])).sort(dim=1).values

    def paths(self, steps: Tensor) -> Tensor:
        """Targets [..., outputs] for steps: what `steps` takes apart, put together again."""
        steps = steps * self.step_scale + self.step_location
        return steps.cumsum(-1) if self.sums else steps

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        quantiles = self.quantiles(output)
        return qlike(quantiles[:, :, 0], targets) if self.mean else pinball(quantiles, targets, self.levels)

    def quantiles(self, output: Tensor) -> Tensor:
        """Empirical quantiles of the draws, linear between order statistics; of logarithms of variances that of the mean variance."""
        if self.mean:
            return (output.logsumexp(dim=1) - math.log(output.shape[1]))[:, :, None]
        place = self.levels.double() * (output.shape[1] - 1)
        below = place.floor().long()
        above = (below + 1).clamp_max(output.shape[1] - 1)
        weight = (place - below).to(output.dtype)[None, :, None]
        low, high = output[:, below], output[:, above]
        return (low + (high - low) * weight).transpose(1, 2)

    def _differences(self, targets: Tensor) -> Tensor:
        if not self.sums:
            return targets
        return torch.cat((targets[..., :1], targets.diff(dim=-1)), dim=-1)


class Critic(nn.Module):
    """Window and path to a logit: was the path drawn by the market or by the generator?"""

    def __init__(self, settings: GanSettings, task: Task) -> None:
        super().__init__()
        self.window = RecurrentBody(len(task.features), settings.cell, (settings.hidden,), (), 0.0)
        self.judge = nn.Sequential(
            nn.Linear(settings.hidden + 2 * task.outputs, settings.hidden * 2),
            nn.LeakyReLU(0.2),
            nn.Linear(settings.hidden * 2, settings.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(settings.hidden, 1),
        )

    def state(self, windows: Tensor) -> Tensor:
        """[batch, hidden]: what the critic knows of the window."""
        state: Tensor = self.window(windows)
        return state

    def forward(self, state: Tensor, steps: Tensor) -> Tensor:
        """Logits [batch] for steps [batch, outputs]."""
        verdict: Tensor = self.judge(torch.cat((state, steps, steps.abs()), dim=1))
        return verdict.squeeze(1)


def _directions(outputs: int, noise: int) -> Tensor:
    """Rows [outputs, noise]: orthogonal as far as the noise has room, so that the first steps are independent."""
    rows = [nn.init.orthogonal_(torch.empty(min(noise, outputs - first), noise)) for first in range(0, outputs, noise)]
    return torch.cat(rows)


def even_normals(count: int, width: int) -> Tensor:
    """Normal numbers [count, width] that fill the space more evenly than random ones: scrambled Sobol points (Owen, 1998).

    Quantiles of 256 of them are as near to the truth as those of 1,000 random ones.
    """
    points = torch.quasirandom.SobolEngine(width, scramble=True, seed=int(torch.randint(2**31, ())))
    return torch.special.ndtri(points.draw(count, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)).float()
