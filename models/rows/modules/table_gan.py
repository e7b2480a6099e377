"""The generator of rows and its critic: CTGAN (Xu, Skoularidou, Cuesta-Infante and Veeramachaneni, 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

#: random inputs, units of each of two hidden layers
NOISE, HIDDEN = 128, (256, 256)
#: the temperature of the softmax that stands for a choice (Jang, Gu and Poole, 2017)
TEMPERATURE = 0.2
#: rows that the critic judges together, so that it sees where the generator gives the same row again and again (Lin et al., 2018)
PACK = 10


class TableGenerator(nn.Module):
    """Noise and a condition to rows: a number in -1 to 1 for each mode, and scores of each column's places.

    A condition names one place of one column: noughts, and a 1.

    Args:
        numbers: how many numbers a row has.
        sizes: by column of places, how many there are; the first `numbers` of them are modes, which are no conditions.
    """

    def __init__(self, numbers: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.numbers, self.sizes = numbers, list(sizes)
        self.condition_width = sum(self.sizes[numbers:])
        self.layers, width = nn.ModuleList(), NOISE + self.condition_width
        for units in HIDDEN:
            self.layers.append(nn.Sequential(nn.Linear(width, units), nn.BatchNorm1d(units), nn.ReLU()))
            width += units
        self.last = nn.Linear(width, numbers + sum(self.sizes))

    def forward(self, condition: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Numbers [batch, numbers] and scores [batch, sum of sizes]."""
        values = torch.cat((torch.randn((len(condition), NOISE), generator=random), condition), dim=1)
        for layer in self.layers:
            values = torch.cat((layer(values), values), dim=1)
        output = self.last(values)
        return output[:, : self.numbers].tanh(), output[:, self.numbers :]

    def choices(self, scores: Tensor, random: torch.Generator) -> Tensor:
        """[batch, sum of sizes]: by column, nearly a 1 at a place drawn by its score, and noughts."""
        uniform = torch.rand(scores.shape, generator=random).clamp(1e-20, 1 - 1e-7)
        drawn = (scores - (-uniform.log()).log()) / TEMPERATURE
        return torch.cat([part.softmax(dim=1) for part in drawn.split(self.sizes, dim=1)], dim=1)

    def missed(self, scores: Tensor, column: Tensor, place: Tensor) -> Tensor:
        """How far the rows are from the places they were asked for: the mean cross entropy.

        Args:
            column, place: int64, [batch]; which column, from the first that is no mode on, and which of its places.
        """
        total = scores.new_zeros(())
        for number, part in enumerate(scores.split(self.sizes, dim=1)[self.numbers :]):
            asked = column == number
            if bool(asked.any()):
                total = total + functional.cross_entropy(part[asked], place[asked], reduction="sum")
        return total / len(scores)


class TableCritic(nn.Module):
    """Packs of rows with their conditions to scores: observed, or generated?"""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = (width * PACK, *HIDDEN)
        layers: list[nn.Module] = []
        for before, after in zip(sizes, HIDDEN, strict=False):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2), nn.Dropout(0.5)]
        self.layers = nn.Sequential(*layers, nn.Linear(HIDDEN[-1], 1))

    def forward(self, rows: Tensor) -> Tensor:
        """Scores [batch / pack] of rows [batch, width]."""
        verdict: Tensor = self.layers(rows.reshape(len(rows) // PACK, -1))
        return verdict.squeeze(1)

    def slope(self, real: Tensor, made: Tensor, random: torch.Generator) -> Tensor:
        """The gradient penalty of WGAN-GP (Gulrajani et al., 2017): how far from 1 slopes are between real and generated packs."""
        packs = len(real) // PACK
        mixture = torch.rand((packs, 1, 1), generator=random)
        between = (mixture * real.reshape(packs, PACK, -1) + (1 - mixture) * made.reshape(packs, PACK, -1)).requires_grad_()
        (gradient,) = torch.autograd.grad(self(between.reshape(len(real), -1)).sum(), between, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
