"""A generator of training samples: windows drawn to fit targets, and the critic that it is trained against."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from finflow.models.networks.modules.cnn import CnnBody, Convolution

#: Random inputs for the window as a whole, and for each step at every resolution: without the latter a window could not hold white noise.
NOISE, STEP_NOISE = 16, 4
CHANNELS = 32
#: The coarsest resolution has at most so many steps.
COARSEST = 8


class Source(nn.Module, ABC):
    """Where training samples come from that nobody observed."""

    @abstractmethod
    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Scaled windows [count, length, features] and scaled targets [count, outputs], on the device and in the precision of the source.

        Args:
            random: a generator of the CPU, so that the draws do not depend on the device.
        """


class WindowGenerator(Source):
    """Targets are drawn from the training part, and a window is made to go with each.

    So targets have their true distribution, whatever they are: changes, levels, logarithms of variances, classes. A class conditions as one
    of several inputs, anything else as a number in units of its spread. Noise is spread over the coarsest resolution and doubled up to the
    window's length; each doubling adds noise of its own. No feature leaves the range that it has in the training part.

    Args:
        targets: float32, [n, outputs]; all scaled training targets; with `classes` positions of classes, [n, 1].
        windows: float32, [m, length, features]; scaled training windows that say where features lie: their mean, spread and range.
    """

    targets: Tensor
    condition_location: Tensor
    condition_scale: Tensor
    location: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, targets: Tensor, windows: Tensor, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.condition_width = classes or targets.shape[1]
        self.sizes = _sizes(windows.shape[1])
        self.first = nn.Linear(NOISE + self.condition_width, self.sizes[0] * CHANNELS)
        width = CHANNELS + STEP_NOISE
        self.stages = nn.ModuleList(Convolution(width, CHANNELS, 3, 1) for _ in self.sizes)
        self.last = Convolution(width, windows.shape[2], 3, 1)
        self.register_buffer("targets", targets)
        self.register_buffer("condition_location", targets.mean(0))
        self.register_buffer("condition_scale", _spread(targets))
        rows = windows.flatten(0, 1)
        self.register_buffer("location", rows.mean(0))
        self.register_buffer("scale", _spread(rows))
        self.register_buffer("low", rows.amin(0))
        self.register_buffer("high", rows.amax(0))

    def condition(self, targets: Tensor) -> Tensor:
        """[batch, condition_width]: what windows are made for."""
        if self.classes:
            return (targets == torch.arange(self.classes, device=targets.device)).to(targets.dtype)
        return (targets - self.condition_location) / self.condition_scale

    def standard(self, windows: Tensor) -> Tensor:
        """Windows in units of their features' spread: what the critic reads."""
        return (windows - self.location) / self.scale

    def forward(self, condition: Tensor, random: torch.Generator) -> Tensor:
        """Standard windows [batch, length, features]."""
        count = len(condition)
        values = self.first(torch.cat((self._noise((count, NOISE), random), condition), dim=1)).view(count, self.sizes[0], CHANNELS)
        for size, stage in zip(self.sizes, self.stages, strict=True):
            if size != values.shape[1]:
                values = values.repeat_interleave(2, dim=1)[:, -size:]
            values = values + functional.silu(stage(self._noisy(values, random)))
        output: Tensor = self.last(self._noisy(values, random))
        return output

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(self.targets), (count,), generator=random).to(self.targets.device)
        targets = self.targets[chosen]
        windows = self(self.condition(targets), random) * self.scale + self.location
        return windows.clamp(self.low, self.high), targets

    def _noisy(self, values: Tensor, random: torch.Generator) -> Tensor:
        """Values and fresh noise at every step, with a step of noughts at both ends."""
        noise = self._noise((*values.shape[:2], STEP_NOISE), random)
        return functional.pad(torch.cat((values, noise), dim=2), (0, 0, 1, 1))

    def _noise(self, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=random).to(self.targets)


class WindowCritic(nn.Module):
    """Standard window and condition to a score: observed, or generated?

    Every layer is divided by its largest singular value (Miyato et al., 2018), so that the score cannot run away.
    """

    def __init__(self, length: int, features: int, condition: int) -> None:
        super().__init__()
        layers = next(count for count in range(1, 16) if 1 + 4 * (2**count - 1) >= length)
        self.body = CnnBody(2 * features + condition, CHANNELS, 3, layers, (), 0.0)
        self.judge = nn.Linear(CHANNELS, 1)
        for module in list(self.modules()):
            if isinstance(module, nn.Linear):
                spectral_norm(module)

    def forward(self, windows: Tensor, condition: Tensor) -> Tensor:
        """Scores [batch]. Sizes stand beside the values: volatility shows in them."""
        beside = condition[:, None].expand(-1, windows.shape[1], -1)
        verdict: Tensor = self.judge(self.body(torch.cat((windows, windows.abs(), beside), dim=2)))
        return verdict.squeeze(1)


def _sizes(length: int) -> list[int]:
    """Steps at each resolution, from the coarsest to the window's own."""
    sizes = [length]
    while sizes[0] > COARSEST:
        sizes.insert(0, (sizes[0] + 1) // 2)
    return sizes


def _spread(values: Tensor) -> Tensor:
    """Standard deviations of columns; 1 where there is none."""
    deviation = values.double().std(0, correction=0)
    return torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)).to(values.dtype)
