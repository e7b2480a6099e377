"""Training of a generator of rows, and rows drawn from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from finflow.models.errors import FitFailure
from finflow.models.rows.modules.table_gan import PACK, TableCritic, TableGenerator
from finflow.models.rows.table_encoding import TableEncoding
from finflow.models.samples import Float32, Int64

#: rows a step at most, the settings of both optimizers, and the decay of the generator's weights (Xu et al., 2019)
BATCH, LEARNING_RATE, BETAS, DECAY = 500, 2e-4, (0.5, 0.9), 1e-6
#: weight of the penalty on the critic's slope
PENALTY = 10.0
#: rows drawn at a time, and how many times as many as are wanted before the generator is given up
DRAWN, TRIES = 1024, 50


@dataclass(frozen=True, eq=False)
class RowSource:
    """A fitted generator of rows."""

    encoding: TableEncoding
    generator: TableGenerator

    def draw(self, wanted: int, count: int, seed: int) -> tuple[Float32, Int64]:
        """Rows of a class: float32 [count, features], NaN where missing, and int64 [count, categories]. Rows that came out as the other
        class are left.

        Raises:
            FitFailure: hardly a row came out as asked.
        """
        random = torch.Generator().manual_seed(seed)
        condition = torch.zeros(DRAWN, self.generator.condition_width)
        condition[:, self.generator.condition_width - 2 + wanted] = 1.0
        numbers, codes, drawn = [], [], 0
        for _ in range(1 + TRIES * count // DRAWN):
            with torch.inference_mode():
                within, scores = self.generator(condition, random)
                parts = self.generator.choices(scores, random).split(self.generator.sizes, dim=1)
            places = np.column_stack([part.argmax(dim=1).numpy() for part in parts])
            made = self.encoding.decode(within.numpy(), places)
            right = made[2] == wanted
            numbers.append(made[0][right])
            codes.append(made[1][right])
            drawn += int(right.sum())
            if drawn >= count:
                return np.concatenate(numbers)[:count], np.concatenate(codes)[:count]
        raise FitFailure(f"the generator of rows does not answer to the class: {drawn} of {TRIES * count} rows came out as asked")


class _Conditions:
    """Training by sampling: a column of places is chosen evenly, one of its places by the logarithm of its rows, and a row of those."""

    def __init__(self, places: Int64, sizes: list[int], first: int) -> None:
        # of a column with one place there is nothing to ask for
        self.varied = np.flatnonzero(np.array(sizes[first:]) > 1)
        self.order, self.starts, self.counts, self.chances = [], [], [], []
        for column, size in enumerate(sizes[first:], start=first):
            count = np.bincount(places[:, column], minlength=size)
            self.order.append(np.argsort(places[:, column], kind="stable"))
            self.starts.append(np.concatenate([[0], np.cumsum(count)[:-1]]))
            self.counts.append(count)
            chance = np.log(count + 1.0)
            self.chances.append(chance / chance.sum())
        self.offsets = np.concatenate([[0], np.cumsum(sizes[first:])[:-1]])
        self.width = sum(sizes[first:])

    def draw(self, count: int, random: np.random.Generator) -> tuple[Int64, Int64, Tensor]:
        """Columns and places, int64 [count], and the conditions [count, width]."""
        columns = random.choice(self.varied, size=count)
        uniform = random.random(count)
        places = np.zeros(count, dtype=np.int64)
        for column in np.unique(columns):
            chosen = columns == column
            edges = np.cumsum(self.chances[column])
            places[chosen] = np.minimum(np.searchsorted(edges, uniform[chosen] * edges[-1], side="right"), len(edges) - 1)
        condition = torch.zeros(count, self.width)
        condition[torch.arange(count), torch.from_numpy(self.offsets[columns] + places)] = 1.0
        return columns, places, condition

    def rows(self, columns: Int64, places: Int64, random: np.random.Generator) -> Int64:
        """int64, [count]: a row that has each."""
        uniform = random.random(len(columns))
        rows = np.empty(len(columns), dtype=np.int64)
        for place, (column, value) in enumerate(zip(columns.tolist(), places.tolist(), strict=True)):
            start, count = self.starts[column][value], self.counts[column][value]
            rows[place] = self.order[column][start + int(uniform[place] * count)]
        return rows


def fit_row_source(numbers: Float32, codes: Int64, classes: Int64, steps: int, seed: int) -> RowSource:
    """Fit CTGAN on the CPU: conditions by sampling, modes of numbers, WGAN-GP, critics of packs of ten. The generator is that of the last
    step, with the running statistics of its batches.

    The caller sets random state and threads (`finflow.models.reproducible`).

    Args:
        numbers: float32, [n, features]; NaN where missing.
        codes: int64, [n, categories].
        classes: int64, [n]; 0 or 1.
        steps: gradient steps of the generator, and of its critic.

    Raises:
        FitFailure: too few rows, too many values of categories, or weights that are not finite.
    """
    batch = min(BATCH, len(numbers)) // PACK * PACK
    if batch < 2 * PACK:
        raise FitFailure(f"a generator of rows needs {2 * PACK} of them, and there are {len(numbers)}")
    encoding = TableEncoding.fit(numbers, codes, seed)
    within, places = encoding.encode(numbers, codes, classes, seed)
    sizes = list(encoding.sizes)
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)[:-1]]))
    conditions = _Conditions(places, sizes, within.shape[1])
    choice, random = np.random.default_rng([seed, 1]), torch.Generator().manual_seed(seed)
    generator = TableGenerator(within.shape[1], sizes)
    critic = TableCritic(within.shape[1] + sum(sizes) + conditions.width)
    for_generator = torch.optim.Adam(generator.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=DECAY, fused=True)
    for_critic = torch.optim.Adam(critic.parameters(), lr=LEARNING_RATE, betas=BETAS, fused=True)
    for _ in range(steps):
        columns, asked, condition = conditions.draw(batch, choice)
        # Other rows of the same conditions, in another order, so that a pack's conditions are not the same on both sides.
        order = choice.permutation(batch)
        rows = conditions.rows(columns[order], asked[order], choice)
        one_hot = torch.zeros(batch, sum(sizes)).scatter_(1, torch.from_numpy(places[rows]) + offsets, 1.0)
        real = torch.cat((torch.from_numpy(within[rows]), one_hot, condition[torch.from_numpy(order)]), dim=1)

        with torch.no_grad():
            drawn, _ = _drawn(generator, condition, random)
        _descend(for_critic, critic(drawn).mean() - critic(real).mean() + PENALTY * critic.slope(real, drawn, random))
        # The generator learns from rows that the critic has not just been fitted on.
        columns, asked, condition = conditions.draw(batch, choice)
        drawn, scores = _drawn(generator, condition, random)
        missed = generator.missed(scores, torch.from_numpy(columns), torch.from_numpy(asked))
        _descend(for_generator, missed - critic(drawn).mean())
    if not all(bool(weight.isfinite().all()) for weight in generator.parameters()):
        raise FitFailure("the generator of rows did not stay finite")
    return RowSource(encoding, generator.requires_grad_(False).eval())


def _drawn(generator: TableGenerator, condition: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows as the critic sees them, [batch, width], with their conditions; and the scores of their places."""
    made, scores = generator(condition, random)
    return torch.cat((made, generator.choices(scores, random), condition), dim=1), scores


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
