"""Heads: what turns a network's features into a forecast, the loss that trains it, and the quantiles that it stands for.

Every head works in scaled units and has the same five methods: `begin` sets it to the forecast that knows only the training targets,
so that training starts from there; `forward` gives its raw output; `loss` compares that with targets; `finish` fits what is left after
training, on the validation part; `quantiles` reads the output as [batch, outputs, levels], ascending along levels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

#: softplus(x) = 1 here, so that a network that says nothing leaves a spread as it was.
ONE = math.log(math.e - 1)


class Learner(nn.Module, ABC):
    """Base of what gradients fit: what stands before them, the loss that they follow, what is left after them, the quantiles it gives."""

    @abstractmethod
    def begin(self, targets: Tensor) -> None:
        """Set the state that depends on the training targets alone: [n, outputs]."""

    @abstractmethod
    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of `forward`'s output, a scalar: what early stopping watches."""

    def finish(self, output: Tensor, targets: Tensor) -> None:
        """Fit what is left once the weights stand, on the validation part."""

    @abstractmethod
    def quantiles(self, output: Tensor) -> Tensor:
        """[batch, outputs, levels], ascending along levels, of `forward`'s output."""


class Head(Learner):
    """Base of the heads."""


class QuantileHead(Head):
    """Quantiles that cannot cross: the median, and positive gaps away from it on both sides.

    The loss is the pinball loss (Koenker and Bassett, 1978) averaged over the levels; twice it approximates the CRPS.
    """

    levels: Tensor
    base: Tensor

    def __init__(self, inputs: int, outputs: int, levels: tuple[float, ...]) -> None:
        super().__init__()
        self.outputs, self.count, self.middle = outputs, len(levels), levels.index(0.5)
        self.linear = quiet_linear(inputs, outputs * len(levels))
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("base", torch.zeros(outputs, len(levels)))

    def begin(self, targets: Tensor) -> None:
        quantiles = torch.quantile(targets[:: max(1, len(targets) // 100_000)].double(), self.levels.double(), dim=0).T
        self.base.copy_(quantiles.to(self.base.dtype))

    def forward(self, features: Tensor) -> Tensor:
        raw = self.linear(features).view(-1, self.outputs, self.count)
        middle = self.middle
        median = self.base[:, middle : middle + 1] + raw[:, :, middle : middle + 1]
        # A gap of nothing (a target with ties) could never grow.
        scale = self.base.diff(dim=1).clamp_min(1e-3)
        stretch = functional.softplus(torch.cat((raw[:, :, :middle], raw[:, :, middle + 1 :]), dim=2) + ONE)
        gaps = scale * stretch
        below = median - gaps[:, :, :middle].flip(2).cumsum(2).flip(2)
        above = median + gaps[:, :, middle:].cumsum(2)
        return torch.cat((below, median, above), dim=2)

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return pinball(output, targets, self.levels)

    def quantiles(self, output: Tensor) -> Tensor:
        return output


class StudentHead(Head):
    """A Student t with location and scale from the network, and degrees of freedom of its own for each output; trained by likelihood."""

    multipliers: Tensor
    base: Tensor

    def __init__(self, inputs: int, outputs: int, levels: tuple[float, ...]) -> None:
        super().__init__()
        self.outputs, self.level_values = outputs, levels
        self.linear = quiet_linear(inputs, outputs * 2)
        self.freedom = nn.Parameter(torch.full((outputs,), 4.0))
        self.register_buffer("base", torch.zeros(2, outputs))
        self.register_buffer("multipliers", torch.zeros(outputs, len(levels)))

    def degrees(self) -> Tensor:
        """[outputs]: above 2, so that there is a variance."""
        return 2 + functional.softplus(self.freedom)

    def begin(self, targets: Tensor) -> None:
        self.base.copy_(torch.stack((targets.mean(0), targets.std(0, correction=0).clamp_min(1e-3) * 0.7)))

    def forward(self, features: Tensor) -> Tensor:
        raw = self.linear(features).view(-1, self.outputs, 2)
        location = self.base[0] + raw[:, :, 0]
        scale = self.base[1] * functional.softplus(raw[:, :, 1] + ONE).clamp_min(1e-4)
        return torch.stack((location, scale), dim=2)

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        location, scale, degrees = output[:, :, 0], output[:, :, 1], self.degrees()
        squares = ((targets - location) / scale).square()
        likelihood = (
            torch.lgamma((degrees + 1) / 2)
            - torch.lgamma(degrees / 2)
            - 0.5 * torch.log(degrees * math.pi)
            - torch.log(scale)
            - (degrees + 1) / 2 * torch.log1p(squares / degrees)
        )
        return -likelihood.mean()

    def finish(self, output: Tensor, targets: Tensor) -> None:
        from scipy import stats

        degrees = self.degrees().detach().double().cpu().numpy()
        multipliers = stats.t.ppf(torch.tensor(self.level_values).double().numpy()[None, :], degrees[:, None])
        self.multipliers.copy_(torch.from_numpy(multipliers))
        # ppf(0.5) is nought up to rounding; the median is the location itself.
        self.multipliers[:, self.level_values.index(0.5)] = 0.0

    def quantiles(self, output: Tensor) -> Tensor:
        return output[:, :, :1] + output[:, :, 1:] * self.multipliers


class PointHead(Head):
    """A point forecast trained by squared error, as in the tutorials. The spread comes from what it missed on the validation part.

    The quantile at level p lies from the point by the (|2p - 1|)-quantile of the absolute residuals (split conformal intervals: Lei et al.,
    2018), so the median is the point forecast itself, and a bias widens the intervals.
    """

    offsets: Tensor

    def __init__(self, inputs: int, outputs: int, levels: tuple[float, ...]) -> None:
        super().__init__()
        self.level_values = levels
        self.linear = nn.Linear(inputs, outputs)
        self.register_buffer("offsets", torch.zeros(outputs, len(levels)))

    def begin(self, targets: Tensor) -> None:
        with torch.no_grad():
            self.linear.bias.copy_(targets.mean(0))

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.linear(features)
        return output

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(output, targets)

    def finish(self, output: Tensor, targets: Tensor) -> None:
        missed = (targets - output).abs().double().sort(dim=0).values
        count = len(missed)
        for position, level in enumerate(self.level_values):
            inside = abs(2 * level - 1)
            rank = min(count, math.ceil((count + 1) * inside))
            distance = missed[rank - 1] if rank else torch.zeros_like(missed[0])
            self.offsets[:, position] = distance.to(self.offsets.dtype) * (1 if level > 0.5 else -1)

    def quantiles(self, output: Tensor) -> Tensor:
        return output[:, :, None] + self.offsets


class VarianceHead(Head):
    """The logarithm of a variance, trained by QLIKE: the mean of exp(y - f) - (y - f) - 1 over outputs, y and f logarithms (Patton, 2011).

    With y e^-f + f it shares every gradient, and beside it is nought for a perfect forecast. The last layer starts at nought, weights and
    all, so that the first forecast is what `begin` is told: where the targets are logarithms of factors on another model's forecast
    (`residual`), exactly that forecast.
    """

    def __init__(self, inputs: int, outputs: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.linear = nn.Linear(inputs, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def begin(self, targets: Tensor) -> None:
        if not self.residual:
            self.linear.bias.copy_(targets.double().exp().mean(0).log())

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.linear(features)
        return output

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return qlike(output, targets)

    def quantiles(self, output: Tensor) -> Tensor:
        """[batch, outputs, 1]: the logarithm itself."""
        return output[:, :, None]


class ClassHead(Head):
    """Logits of classes, trained by cross-entropy. Targets are positions of classes; the first forecast is near the base rate."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.linear = quiet_linear(inputs, classes)

    def begin(self, targets: Tensor) -> None:
        counts = torch.bincount(targets[:, 0].long(), minlength=self.classes).double()
        # one more of each: the logarithm of a class that never came is infinite
        with torch.no_grad():
            self.linear.bias.copy_(((counts + 1) / (counts.sum() + self.classes)).log())

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.linear(features)
        return output

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(output, targets[:, 0].long())

    def quantiles(self, output: Tensor) -> Tensor:
        """[batch, 1, classes]: the logits themselves; the model makes probabilities of them, in float64."""
        return output[:, None, :]


HEADS: dict[str, type[Head]] = {"quantile": QuantileHead, "student_t": StudentHead, "mse": PointHead}


def pinball(quantiles: Tensor, targets: Tensor, levels: Tensor) -> Tensor:
    """The mean pinball loss of [batch, outputs, levels] against [batch, outputs]."""
    missed = targets[:, :, None] - quantiles
    return torch.maximum(levels * missed, (levels - 1) * missed).mean()


def qlike(output: Tensor, targets: Tensor) -> Tensor:
    """The mean QLIKE of logarithms of variances, both [batch, outputs]."""
    missed = targets - output
    return (missed.exp() - missed - 1).mean()


def sample_crps(draws: Tensor, targets: Tensor) -> Tensor:
    """The mean CRPS of [batch, draws, outputs] against [batch, outputs], without bias whatever the number of draws (Ferro, 2014).

    It is E|X - y| - E|X - X'| / 2 (Gneiting and Raftery, 2007); the second mean goes over pairs of different draws, from their ranks.
    """
    count = draws.shape[1]
    ranks = torch.arange(1 - count, count, 2, device=draws.device, dtype=draws.dtype) / (count * (count - 1))
    distance = (draws - targets[:, None]).abs().mean(1)
    return (distance - (draws.sort(dim=1).values * ranks[:, None]).sum(1)).mean()


def quiet_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts near nought, so that the head starts at its base."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()
    return layer
