"""Training of the window generator, on the training part alone."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from finflow.models.errors import FitFailure
from finflow.models.networks.modules.averaging import WeightAverage
from finflow.models.networks.modules.training import Part
from finflow.models.networks.modules.window_generator import WindowCritic, WindowGenerator

#: Real samples a step.
BATCH = 128
LEARNING_RATE = 1e-3
#: Little momentum for two networks that chase each other.
BETAS = (0.0, 0.9)
#: The generator that is kept is an average over about 1 / (1 - MEMORY) steps.
MEMORY = 0.995
#: Training windows that say where features lie.
LOOKED_AT = 2048


def fit_generator(train: Part, classes: int, steps: int, seed: int) -> WindowGenerator:
    """Fit a window generator on the CPU: hinge loss (Lim and Ye, 2017), a spectrally normalised critic (Miyato et al., 2018), the running
    average of the generator's weights (Yazici et al., 2019). Real windows are gathered batch by batch; nothing else is read.

    The caller sets random state and threads (`finflow.models.reproducible`); draws of samples and noise have generators of their own.

    Args:
        train: the training part, as the network sees it.
        classes: of the problem; nought where targets are numbers.
        steps: gradient steps of the generator, and of its critic.

    Raises:
        FitFailure: a loss is not finite.
    """
    order, noise = np.random.default_rng([seed, 1]), torch.Generator().manual_seed(seed)
    looked_at = np.sort(order.permutation(len(train))[:LOOKED_AT])
    generator = WindowGenerator(torch.from_numpy(train.targets), torch.from_numpy(train.batches.draw(looked_at)), classes)
    critic = WindowCritic(train.batches.length, len(generator.location), generator.condition_width)
    average = WeightAverage(generator, MEMORY)
    optimizers = [torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, betas=BETAS, fused=True) for module in (generator, critic)]
    for step in range(steps):
        positions = order.integers(len(train), size=min(BATCH, len(train)))
        real = generator.standard(torch.from_numpy(train.batches.draw(positions)))
        condition = generator.condition(torch.from_numpy(train.targets[positions]))
        made = generator(condition, noise)
        genuine, drawn = critic(torch.cat((real, made.detach())), condition.repeat(2, 1)).chunk(2)
        _descend(optimizers[1], functional.relu(1 - genuine).mean() + functional.relu(1 + drawn).mean())
        _descend(optimizers[0], -critic(made, condition).mean())
        average.update(step)
    average.put_in()
    if not all(bool(weight.isfinite().all()) for weight in generator.parameters()):
        raise FitFailure("the generator of training samples did not stay finite")
    return generator.requires_grad_(False).eval()


def _descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
