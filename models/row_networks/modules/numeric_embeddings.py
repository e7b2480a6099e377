"""Embeddings of numbers: cosines with learnt frequencies, and the bins that a number has passed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from finflow.models.samples import Float32

#: of the periodic embedding: frequencies a feature, the spread that they are drawn with, numbers that come out of it
FREQUENCIES, SPREAD, PERIODIC = 16, 0.1, 4


class PeriodicEmbedding(nn.Module):
    """[..., features] to [..., features, 4]: the number itself, and three sums of cosines of it, with learnt frequencies and phases (PBLD).

    `signed`: positions of features with a sign of missing; a missing one has a vector of its own in their place.
    """

    signed: Tensor

    def __init__(self, features: int, signed: Sequence[int]) -> None:
        super().__init__()
        self.frequency = nn.Parameter(SPREAD * torch.randn(features, FREQUENCIES))
        self.phase = nn.Parameter(math.pi * (2 * torch.rand(features, FREQUENCIES) - 1))
        bound = 1 / math.sqrt(FREQUENCIES)
        self.weight = nn.Parameter(bound * (2 * torch.rand(features, FREQUENCIES, PERIODIC - 1) - 1))
        self.bias = nn.Parameter(bound * (2 * torch.rand(features, PERIODIC - 1) - 1))
        # A parameter that nothing uses would trouble the exchange of gradients between devices.
        self.absent = nn.Parameter(torch.zeros(len(signed), PERIODIC)) if signed else None
        self.register_buffer("signed", torch.tensor(signed, dtype=torch.int64), persistent=False)

    def forward(self, numbers: Tensor, signs: Tensor) -> Tensor:
        """`signs`: [..., signed]; 1 where that feature is missing, and anything between on the way there."""
        waves = torch.cos(2 * math.pi * self.frequency * numbers[..., None] + self.phase)
        sums = torch.einsum("...fh,fho->...fo", waves, self.weight) + self.bias
        embedded = torch.cat((numbers[..., None], sums), dim=-1)
        if self.absent is not None:
            there = embedded[..., self.signed, :]
            blended = there + signs[..., None] * (self.absent - there)
            embedded = embedded.index_copy(embedded.ndim - 2, self.signed, blended)
        return embedded


class PiecewiseEncoding(nn.Module):
    """[..., features] to [..., pieces]: how far a number has come through each bin of its feature, from 0 to 1 (piecewise linear encoding;
    Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning", 2022).

    Other than there, the outermost bins are bounded too: a number beyond all that training held counts as the farthest that it held. A
    missing number has passed no bin. There is nothing to learn in here.

    Args:
        edges: float32, [features, edges]; rising, and the last one again where a feature has fewer bins. One that has none has no pieces.
        signed: positions of features with a sign of missing.

    Attributes:
        feature: int64, [pieces]; whose bin each is, ascending.
    """

    feature: Tensor
    low: Tensor
    inverse: Tensor
    signed: Tensor

    def __init__(self, edges: Float32, signed: Sequence[int]) -> None:
        super().__init__()
        wide = np.diff(edges, axis=1) > 0
        inverse = (1 / np.diff(edges.astype(np.float64), axis=1)[wide]).astype(np.float32)
        # Not saved with the weights: the encoding keeps the edges.
        self.register_buffer("feature", torch.from_numpy(np.nonzero(wide)[0]), persistent=False)
        self.register_buffer("low", torch.from_numpy(edges[:, :-1][wide]), persistent=False)
        self.register_buffer("inverse", torch.from_numpy(inverse), persistent=False)
        self.register_buffer("signed", torch.tensor(signed, dtype=torch.int64), persistent=False)

    @property
    def pieces(self) -> int:
        return len(self.feature)

    def forward(self, numbers: Tensor, signs: Tensor) -> Tensor:
        """`signs`: [..., signed]; 1 where that feature is missing."""
        passed = ((numbers[..., self.feature] - self.low) * self.inverse).clamp(0, 1)
        if not len(self.signed):
            return passed
        there = torch.ones_like(numbers).index_copy(numbers.ndim - 1, self.signed, 1 - signs)
        return passed * there[..., self.feature]
