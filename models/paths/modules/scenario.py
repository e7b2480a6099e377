"""Generator and critic of return paths: past shocks drive volatility, so that a path can be drawn from nothing, or from a given past."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from finflow.models.networks.modules.forecaster import Forecaster
from finflow.models.paths.scenario_settings import ScenarioGanSettings

#: What |z| of a standard normal is on average: taken off, so that the input that stands for nothing known is 0.
MEAN_SIZE = math.sqrt(2.0 / math.pi)
#: The logarithm of volatility moves at most so far from its middle.
REACH = 3.0
#: A shock that an observed return stands for is at most so large: what is no return of this market must not rule the volatility after it.
LARGEST_SHOCK = 8.0


class ScenarioGenerator(Forecaster):
    """Standard normal shocks z to standardised returns: r_t = location + exp(scale + s_t) * y(z_t).

    s_t is what a causal dilated convolution (van den Oord et al. 2016; for returns: Wiese et al. 2020) makes of the shocks before t, over
    2 ** layers steps. y is the sinh-arcsinh transform of Jones and Pewsey (2009), with heavy tails and skew, which is undone in closed
    form: so an observed past has exactly one sequence of shocks, its likelihood is known (as in Grover, Dhar and Ermon 2018: Flow-GAN),
    and a path goes on from there.
    """

    def __init__(self, settings: ScenarioGanSettings) -> None:
        super().__init__()
        width = settings.channels
        self.dilations = tuple(2**layer for layer in range(settings.layers))
        self.enter = nn.Linear(2, width)
        self.layers = nn.ModuleList(nn.Linear(2 * width, width) for _ in self.dilations)
        self.leave = nn.Linear(width * len(self.dilations), 1)
        with torch.no_grad():
            self.leave.weight.mul_(0.3)
            self.leave.bias.zero_()
        self.location = nn.Parameter(torch.zeros(()))
        self.scale = nn.Parameter(torch.tensor(-0.3))
        self.skew = nn.Parameter(torch.zeros(()))
        self.tail = nn.Parameter(torch.tensor(-0.2))

    @property
    def reach(self) -> int:
        """Shocks before a step that its volatility depends on."""
        return sum(self.dilations) + 1

    def begin(self, targets: Tensor) -> None:
        """The mean of a step, from standardised steps [n, outputs]."""
        with torch.no_grad():
            self.location.copy_(targets.mean())

    def draw(self, shocks: Tensor) -> Tensor:
        """Standardised returns [batch, steps] of shocks [batch, reach + steps], all at once."""
        layer_input = self.enter(self._inputs(shocks[:, :-1]))
        steps, seen = shocks.shape[1] - self.reach, []
        for layer, dilation in zip(self.layers, self.dilations, strict=True):
            hidden = functional.silu(layer(torch.cat((layer_input[:, :-dilation], layer_input[:, dilation:]), dim=2)))
            layer_input = layer_input[:, dilation:] + hidden
            seen.append(hidden[:, -steps:])
        volatility = self._bounded(self.leave(torch.cat(seen, dim=2)).squeeze(2))
        return self.location + torch.exp(self.scale + volatility) * self.transform(shocks[:, -steps:])

    def transform(self, shocks: Tensor) -> Tensor:
        return torch.sinh((torch.asinh(shocks) + self.skew) * torch.exp(-self.tail))

    def undo(self, values: Tensor) -> Tensor:
        return torch.sinh(torch.asinh(values) * torch.exp(self.tail) - self.skew)

    def density(self, shocks: Tensor) -> Tensor:
        """The logarithm of the density of `transform(shocks)`."""
        inner = (torch.asinh(shocks) + self.skew) * torch.exp(-self.tail)
        slope = torch.log(torch.cosh(inner)) - self.tail - 0.5 * torch.log1p(shocks.square())
        return -0.5 * shocks.square() - 0.5 * math.log(2.0 * math.pi) - slope

    def forward(self, windows: Tensor) -> Tensor:
        """Standardised returns [batch, steps] are taken as they are: `loss` reads them."""
        return windows

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        """The exact negative log likelihood of a step, on average, of the standardised steps [batch, outputs] after a past [batch, any].

        But a shock beyond LARGEST_SHOCK counts as one of that size.
        It is there to be watched: without gradients, since a step's memory is written over.
        """
        state = self.start(len(output))
        for step in range(output.shape[1]):
            self.observe(state, output[:, step])
        total = torch.zeros((), dtype=output.dtype, device=output.device)
        for step in range(targets.shape[1]):
            volatility = self.scale + self._volatility(state)
            shock = self.observe(state, targets[:, step])
            total = total + (volatility - self.density(shock)).mean()
        return total / targets.shape[1]

    def quantiles(self, output: Tensor) -> Tensor:
        """Raises RuntimeError: it draws paths and has none."""
        raise RuntimeError("a generator of scenarios draws paths; it answers no quantiles")

    def start(self, rows: int) -> State:
        """The state of `rows` paths of which nothing is known."""
        width, like = self.enter.out_features, self.enter.weight
        empty = self.enter(torch.zeros(rows, 2, dtype=like.dtype, device=like.device))
        memories = [empty[:, None].expand(rows, dilation, width).clone() for dilation in self.dilations]
        state = State(memories, 0, torch.zeros(rows, width * len(memories), dtype=like.dtype, device=like.device))
        for _ in range(self.reach):
            self._advance(state, torch.zeros(rows, 2, dtype=like.dtype, device=like.device))
        return state

    def observe(self, state: State, returns: Tensor) -> Tensor:
        """Move on by standardised returns [rows] that were seen; NaN says that nothing is known of it. Returns the shocks [rows]."""
        finite = torch.isfinite(returns)
        values = torch.where(finite, returns - self.location, torch.zeros_like(returns)) * torch.exp(-self.scale - self._volatility(state))
        shocks = self.undo(values).clamp(-LARGEST_SHOCK, LARGEST_SHOCK)
        self._advance(state, torch.where(finite[:, None], self._inputs(shocks), torch.zeros_like(self._inputs(shocks))))
        return shocks

    def follow(self, state: State, shocks: Tensor) -> Tensor:
        """Move on by shocks [rows]; the standardised returns [rows] they make."""
        returns = self.location + torch.exp(self.scale + self._volatility(state)) * self.transform(shocks)
        self._advance(state, self._inputs(shocks))
        return returns

    def _volatility(self, state: State) -> Tensor:
        return self._bounded(self.leave(state.seen).squeeze(1))

    def _advance(self, state: State, inputs: Tensor) -> None:
        """One step of every layer, its inputs `dilation` steps ago from its memory: what `draw` does for all steps at once."""
        current, seen = self.enter(inputs), []
        for number, (layer, dilation) in enumerate(zip(self.layers, self.dilations, strict=True)):
            place = state.taken % dilation
            memory = state.memories[number]
            hidden = functional.silu(layer(torch.cat((memory[:, place], current), dim=1)))
            memory[:, place] = current
            current = current + hidden
            seen.append(hidden)
        state.seen = torch.cat(seen, dim=1)
        state.taken += 1

    @staticmethod
    def _inputs(shocks: Tensor) -> Tensor:
        return torch.stack((shocks, shocks.abs() - MEAN_SIZE), dim=-1)

    @staticmethod
    def _bounded(values: Tensor) -> Tensor:
        return REACH * torch.tanh(values / REACH)


class State:
    """Where paths stand: each layer's last inputs, [rows, dilation, width] in a ring, and what the layers found at the last step."""

    def __init__(self, memories: list[Tensor], taken: int, seen: Tensor) -> None:
        self.memories, self.taken, self.seen = memories, taken, seen

    def repeated(self, times: int) -> State:
        """Each path so many times, one after the other."""
        memories = [memory.repeat_interleave(times, dim=0) for memory in self.memories]
        return State(memories, self.taken, self.seen.repeat_interleave(times, dim=0))


class ScenarioCritic(nn.Module):
    """Returns and their sizes [batch, steps] to a verdict [batch]; its slope is bounded by spectral normalisation (Miyato et al. 2018)."""

    def __init__(self, settings: ScenarioGanSettings) -> None:
        super().__init__()
        width = settings.critic
        sizes = ((2, 1), *[(width, 2)] * 4)
        self.body = nn.ModuleList(spectral_norm(nn.Conv1d(inputs, width, 5, stride=stride, padding=2)) for inputs, stride in sizes)
        self.judge = spectral_norm(nn.Linear(2 * width, 1))

    def forward(self, returns: Tensor) -> Tensor:
        hidden = torch.stack((returns, returns.abs()), dim=1)
        for layer in self.body:
            hidden = functional.leaky_relu(layer(hidden), 0.2)
        verdict: Tensor = self.judge(torch.cat((hidden.mean(2), hidden.amax(2)), dim=1))
        return verdict.squeeze(1)
