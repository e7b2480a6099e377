"""Training as a Lightning module: gradient steps over batches drawn by index, early stopping, the best weights kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from finflow.models.errors import FitFailure
from finflow.models.networks.modules.dense import Dropout
from finflow.models.networks.modules.forecaster import Forecaster
from finflow.models.networks.modules.share import Share
from finflow.models.networks.network_settings import GradientSettings
from finflow.models.samples import Float32, Int64

#: Gradient steps that one call of Lightning's loop takes; its fixed cost of over half a millisecond is paid once for them all.
STEPS_A_CALL = 32
#: Validation samples drawn at a time.
VALIDATION_BATCH = 1024
#: The share of the steps over which the learning rate rises.
RISE = 0.1


class Drawn(Protocol):
    """What windows are drawn from: `finflow.models.networks.batches.Batches`, or `finflow.models.row_networks.row_batches.RowBatches`.

    Attributes:
        length: rows of a window.
        prepared: float32, [rows, width]; where windows stand in it `places` says; None: drawn batch by batch.
    """

    length: int

    @property
    def prepared(self) -> Float32 | None: ...

    def draw(self, positions: Int64) -> Float32:
        """float32, [batch, length, width]."""
        ...

    def places(self, positions: Int64) -> Int64:
        """int64, [batch, length]: the rows of `prepared` that these windows are made of."""
        ...


@dataclass(frozen=True, eq=False)
class Part:
    """The training or the validation part: batches of windows, and scaled targets, float32, [n, outputs]."""

    batches: Drawn
    targets: Float32

    def __len__(self) -> int:
        return len(self.targets)


class Calls:
    """What Lightning takes for a data loader: the numbers of the calls in an epoch."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))


class Training(lightning.LightningModule):
    """Fits a forecaster. After `Trainer.fit` its weights are the best epoch's, and `epochs_done` tells the story.

    Each epoch takes every training sample once, in an order of its own, in batches of nearly equal size. Over several devices each takes
    its share of every batch, and of every random draw for it, so that each step is the one that a single device would take, but for
    rounding. Losses are summed over the devices before anything is concluded from them, so that all conclude the same.

    Why an epoch runs in here, and not through data loaders and callbacks. A call of Lightning's loop costs over half a millisecond, several
    times a small network's gradient step, so one call takes STEPS_A_CALL steps. Batches are gathered by index from one array, with no
    worker processes that would have to copy it, and in an order that hangs on the seed alone. The best weights are kept in memory: a
    checkpoint on the disk for each epoch would cost more than the epoch. What Lightning does is the rest: devices, precision, strategies,
    the moving of buffers, and the end of `fit`.

    Raises (from `Trainer.fit`):
        FitFailure: a loss is not finite.
    """

    #: whether a gradient step leaves some of the parameters without a gradient
    alternates: ClassVar[bool] = False

    history: Tensor
    best: Tensor

    def __init__(self, forecaster: Forecaster, settings: GradientSettings, train: Part, validation: Part, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.forecaster, self.settings, self.seed = forecaster, settings, seed
        self.parts = {"train": train, "validation": validation}
        self.steps = max(1, round(len(train) / settings.batch))
        # Buffers, because they travel back from the processes of several devices with the weights; the bits of float64 as integers, because
        # Lightning turns buffers of floats into the precision of the weights.
        self.register_buffer("history", torch.full((settings.epochs, 2), -1, dtype=torch.int64))
        self.register_buffer("best", torch.tensor(-1))
        self._resident: dict[str, Tensor] = {}
        self._targets: dict[str, Tensor] = {}
        self._taken = 0
        self.share = Share(0, 1)
        self._order: list[Int64] = []
        self._sums = {"train": torch.zeros(2), "validation": torch.zeros(2)}
        self._lowest = math.inf
        self._best_weights: dict[str, Tensor] = {}

    def loaders(self) -> tuple[Calls, Calls]:
        """For `Trainer.fit`: training, validation."""
        return Calls(math.ceil(self.steps / STEPS_A_CALL)), Calls(math.ceil(len(self.parts["validation"]) / VALIDATION_BATCH))

    def on_fit_start(self) -> None:
        torch.manual_seed(self.seed)
        self.share = Share(self.global_rank, self.trainer.world_size)
        for module in self.modules() if self.share.world > 1 else ():
            if isinstance(module, Dropout):
                module.share = self.share
        for name, part in self.parts.items():
            self._targets[name] = torch.from_numpy(part.targets).to(self.device)
            if self.device.type != "cpu" and part.batches.prepared is not None:
                self._resident[name] = torch.from_numpy(part.batches.prepared).to(self.device)

    def draw(self, name: str, positions: Int64) -> tuple[Tensor, Tensor]:
        """Scaled windows [batch, length, features] and targets [batch, outputs] on the device."""
        part, dtype = self.parts[name], next(self.forecaster.parameters()).dtype
        targets = self._targets[name][torch.from_numpy(positions).to(self.device)]
        if name in self._resident:
            windows = self._resident[name][torch.from_numpy(part.batches.places(positions)).to(self.device)]
        else:
            windows = torch.from_numpy(part.batches.draw(positions)).to(self.device)
        return windows.to(dtype), targets.to(dtype)

    def configure_optimizers(self) -> Any:
        return self.optimizer_of(self.forecaster)

    def optimizer_of(self, module: nn.Module, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
        """AdamW (Loshchilov and Hutter, 2019) over a module; biases are not decayed."""
        decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": self.settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate, betas=betas, fused=True)

    def on_train_epoch_start(self) -> None:
        count = len(self.parts["train"])
        shuffled = np.random.default_rng([self.seed, self.current_epoch]).permutation(count)
        self._order = np.array_split(shuffled, self.steps)
        self._sums = {name: torch.zeros(2, dtype=torch.float64, device=self.device) for name in self.parts}

    def training_step(self, call: int, index: int) -> None:
        total, count = torch.zeros((), dtype=torch.float64, device=self.device), 0
        for batch in self._order[call * STEPS_A_CALL : (call + 1) * STEPS_A_CALL]:
            self.share.count = len(batch)
            windows, targets = self.draw("train", self.share.of(batch))
            total += self.learn(windows, targets) * self.share.own
            count += self.share.own
            self._taken += 1
        self._add("train", total, count)

    def learn(self, windows: Tensor, targets: Tensor) -> Tensor:
        """One gradient step; the loss before it, detached."""
        optimizer = self.optimizers()
        loss = self.forecaster.loss(self.forecaster(windows), targets)
        self.descend(optimizer, loss, self.forecaster)
        return loss.detach()

    def descend(self, optimizer: Any, loss: Tensor, module: nn.Module, pace: float = 1.0) -> None:
        """One step of the optimizer down the loss, with clipped gradients, at `pace` times the schedule's learning rate.

        Args:
            loss: the mean over this device's share of the batch.
        """
        optimizer.zero_grad()
        self.manual_backward(loss * self.share.weight if self.share.world > 1 else loss)
        nn.utils.clip_grad_norm_(module.parameters(), self.settings.clip)
        rate = pace * self.rate(self._taken)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        optimizer.step()

    def rate(self, taken: int) -> float:
        """The learning rate after so many steps."""
        total = self.steps * self.settings.epochs
        if self.settings.schedule == "constant":
            return self.settings.learning_rate
        if self.settings.schedule == "coslog4":
            return self.settings.learning_rate * coslog4(taken / total)
        rising = min(1.0, (taken + 1) / max(1.0, RISE * total))
        return self.settings.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * taken / total))

    def validation_step(self, call: int, index: int) -> None:
        positions = np.arange(call * VALIDATION_BATCH, min((call + 1) * VALIDATION_BATCH, len(self.parts["validation"])))
        self.share.count = len(positions)
        windows, targets = self.draw("validation", self.share.of(positions))
        self._add("validation", self.forecaster.loss(self.forecaster(windows), targets) * self.share.own, self.share.own)

    def on_validation_epoch_end(self) -> None:
        row = []
        for name in ("train", "validation"):
            total, count = self._sums[name].tolist()
            row.append(total / count)
            if not math.isfinite(row[-1]):
                raise FitFailure(
                    f"the {name} loss is {row[-1]} in epoch {self.current_epoch + 1}: lower learning_rate, or look at the features' scale"
                )
        self.history[self.current_epoch] = torch.tensor(row, dtype=torch.float64).view(torch.int64)
        if row[1] < self._lowest:
            self._lowest = row[1]
            self.best.fill_(self.current_epoch)
            self._best_weights = {name: value.detach().clone() for name, value in self.forecaster.state_dict().items()}
        elif self.current_epoch - int(self.best) >= self.settings.patience:
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        self.forecaster.load_state_dict(self._best_weights)

    def epochs_done(self) -> tuple[dict[str, float], ...]:
        """One dict an epoch: `epoch` (from 1), `train_loss`, `validation_loss`, in scaled units."""
        history = self.history.cpu().view(torch.float64)
        rows = history[~history.isnan().any(dim=1)].tolist()  # -1 is a NaN's bits
        return tuple({"epoch": float(number + 1), "train_loss": row[0], "validation_loss": row[1]} for number, row in enumerate(rows))

    def _add(self, name: str, total: Tensor, count: int) -> None:
        """Add the sum of the losses of `count` samples here, and of those on the other devices."""
        sums = torch.stack((total.double(), torch.tensor(float(count), dtype=torch.float64, device=total.device)))
        sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        if not torch.isfinite(sums[0]):
            raise FitFailure(
                f"the {name} loss is not finite in epoch {self.current_epoch + 1}: lower learning_rate, or look at the features' scale"
            )
        self._sums[name] += sums


def coslog4(progress: float) -> float:
    """Four waves from nought to one and back, each twice as long as the one before (Holzmüller, Grinsztajn and Steinwart, 2024)."""
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * progress)))


def flat_cosine(progress: float) -> float:
    """1 for the first half, then down to 0 along a cosine (the same paper)."""
    return 0.5 * (1 + math.cos(math.pi * max(0.0, 2 * progress - 1)))
