"""Networks of rows: embeddings of numbers and categories, layers in the neural tangent parametrisation, and the log odds they give.

The parts are those of RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default", 2024), each an option.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from finflow.models.networks.modules.dense import Dropout
from finflow.models.networks.modules.forecaster import Forecaster
from finflow.models.row_networks.modules.numeric_embeddings import PERIODIC, PeriodicEmbedding, PiecewiseEncoding
from finflow.models.samples import Float32

ACTIVATIONS = {"selu": functional.selu, "mish": functional.mish, "relu": functional.relu}
#: training rows whose mixture a layer's first boundary goes through
MIXED = 5


class RowInputs(nn.Module):
    """Encoded rows [..., width] to the numbers that a body reads [..., width].

    Args:
        features: numbers at the beginning of a row.
        signed: positions of those with a sign of missing; the signs come after the numbers.
        sizes: by category, how many places there are; places come last (before the sign of a real row, in sequences).
        periodic: embed numbers by cosines; otherwise they are read as they are, and signs beside them.
        edges: float32, [features, edges]; read numbers by the bins that they have passed; without `periodic`.
        own_vector: a missing number has an embedding of its own, instead of a sign beside it; asks for `periodic`.
        one_hot: categories with at most so many places are read one-hot, others as vectors of `embedding` numbers.
        scale: a learnt factor on each input.
        sequence: rows carry a last column that says which hold anything; a body sees noughts in place of those before the first.
    """

    def __init__(
        self,
        features: int,
        signed: Sequence[int],
        sizes: Sequence[int],
        *,
        periodic: bool,
        edges: Float32 | None,
        own_vector: bool,
        one_hot: int,
        embedding: int,
        scale: bool,
        sequence: bool,
    ) -> None:
        super().__init__()
        self.features, self.signs, self.sizes, self.sequence = features, len(signed), tuple(sizes), sequence
        self.own_vector = own_vector
        self.numeric = PeriodicEmbedding(features, signed if own_vector else ()) if periodic and features else None
        self.pieces = None if edges is None else PiecewiseEncoding(edges, signed)
        self.own = features if self.pieces is None else self.pieces.pieces
        self.tables = nn.ModuleDict()
        self.widths = []
        for number, size in enumerate(sizes):
            wide = size > one_hot
            self.widths.append(embedding if wide else size)
            if wide:
                table = nn.Embedding(size, embedding)
                nn.init.normal_(table.weight, std=1 / math.sqrt(embedding))
                self.tables[str(number)] = table
        self.width = self.own * (PERIODIC if self.numeric is not None else 1) + (0 if own_vector else self.signs) + sum(self.widths)
        self.scale = nn.Parameter(torch.ones(self.width)) if scale else None

    @property
    def numbers(self) -> int:
        """How many columns of an encoded row are numbers: features and signs."""
        return self.features + self.signs

    def parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers [..., own + signs] and the vectors of categories side by side [..., sum of their widths].

        `own` of the numbers are the features, or their pieces: gradients are taken by pieces, not by the number that made them, because
        the way from one number to another turns at every edge, where steps on it would have to be very small.
        """
        places = rows[..., self.numbers : self.numbers + len(self.sizes)].long()
        vectors = [
            self.tables[str(number)](places[..., number]) if str(number) in self.tables else functional.one_hot(places[..., number], size)
            for number, size in enumerate(self.sizes)
        ]
        numbers = rows[..., : self.numbers]
        if self.pieces is not None:
            signs = numbers[..., self.features :]
            numbers = torch.cat((self.pieces(numbers[..., : self.features], signs), signs), dim=-1)
        if not vectors:
            return numbers, rows[..., :0]
        return numbers, torch.cat([vector.to(rows.dtype) for vector in vectors], dim=-1)

    def read(self, numbers: Tensor, vectors: Tensor) -> Tensor:
        """[..., width]: what a body reads of `parts`; smooth in both."""
        values, signs = numbers[..., : self.own], numbers[..., self.own :]
        row = values if self.numeric is None else self.numeric(values, signs).flatten(-2)
        row = torch.cat((row, vectors) if self.own_vector else (row, signs, vectors), dim=-1)
        return row if self.scale is None else row * self.scale

    def by_feature(self, numbers: Tensor) -> Tensor:
        """[n, features]: what belongs to each feature, of `numbers`, [n, own]."""
        if self.pieces is None:
            return numbers.clone()
        return numbers.new_zeros(len(numbers), self.features).index_add(1, self.pieces.feature, numbers)

    def real(self, rows: Tensor) -> Tensor | None:
        """[batch, length, 1]: 1 from the first row on that holds anything, and at the sample's own; None where there is one row alone."""
        if not self.sequence:
            return None
        held = rows[..., -1:].cummax(dim=1).values
        return torch.cat((held[:, :-1], torch.ones_like(held[:, -1:])), dim=1)

    def forward(self, rows: Tensor) -> Tensor:
        return self.read(*self.parts(rows))


class Layer(nn.Module):
    """A linear layer with a bias. `tangent`: weights of unit size, divided in use by the root of the inputs (Jacot et al., 2018)."""

    def __init__(self, inputs: int, outputs: int, tangent: bool) -> None:
        super().__init__()
        self.factor = 1 / math.sqrt(inputs) if tangent else 1.0
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (1.0 if tangent else math.sqrt(2 / inputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, values: Tensor) -> Tensor:
        return functional.linear(values, self.weight * self.factor, self.bias)


class Activation(nn.Module):
    """`learnt`: each unit has a say in how far it bends: (1 - a) x + a f(x), from a = 1 on."""

    def __init__(self, name: str, units: int, learnt: bool) -> None:
        super().__init__()
        self.function = ACTIVATIONS[name]
        self.bend = nn.Parameter(torch.ones(units)) if learnt else None

    def forward(self, values: Tensor) -> Tensor:
        bent: Tensor = self.function(values)
        return bent if self.bend is None else values + self.bend * (bent - values)


class RowBody(nn.Module):
    """[batch, length, inputs] to [batch, width]: layers on the last row."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, dropout: float, tangent: bool, learnt: bool) -> None:
        super().__init__()
        sizes = (inputs, *hidden)
        self.linear = nn.ModuleList(Layer(before, after, tangent) for before, after in zip(sizes, hidden, strict=False))
        self.activation = nn.ModuleList(Activation(activation, units, learnt) for units in hidden)
        self.dropout = Dropout(dropout)
        self.tangent, self.width = tangent, hidden[-1]

    def forward(self, values: Tensor) -> Tensor:
        values = values[:, -1]
        for linear, activation in zip(self.linear, self.activation, strict=True):
            values = self.dropout(activation(linear(values)))
        return values

    def begin(self, values: Tensor) -> None:
        """Set out from the data: a unit has spread 1 over some training rows, and its boundary goes through a mixture of five."""
        if not self.tangent:
            return
        values = values[:, -1]
        for module, activation in zip(self.linear, self.activation, strict=True):
            linear = cast(Layer, module)
            spread = functional.linear(values, linear.weight * linear.factor).std(0, correction=0)
            linear.weight.div_(torch.where(spread > 1e-3, spread, torch.ones_like(spread))[:, None])
            chosen = torch.randint(len(values), (len(linear.bias), MIXED))
            shares = torch.rand(len(linear.bias), MIXED).clamp_min(1e-6).log().neg()
            middle = (values[chosen] * (shares / shares.sum(1, keepdim=True))[..., None]).sum(1)
            linear.bias.copy_(-(middle * linear.weight * linear.factor).sum(1))
            values = activation(linear(values))


class RowForecaster(Forecaster):
    """Encoded rows [batch, length, width] to log odds of the last class [batch, 1]; the loss is the log loss.

    `smoothing`: of the labels in training alone; what early stopping watches, and what is calibrated, is the plain log loss.
    """

    def __init__(self, inputs: RowInputs, body: nn.Module, tangent: bool, smoothing: float) -> None:
        super().__init__()
        self.inputs, self.body, self.smoothing = inputs, body, smoothing
        #: by how much the training rows' log odds are above those that are asked for (`TabularModel.shift`)
        self.shift = 0.0
        self.last = Layer(int(body.width), 1, tangent)  # type: ignore[arg-type]

    def begin(self, targets: Tensor) -> None:
        """Set out from the base rate."""
        rate = targets.double().mean().clamp(1e-6, 1 - 1e-6)
        self.last.weight.zero_()
        self.last.bias.fill_(float(torch.logit(rate)) - self.shift)

    def begin_rows(self, rows: Tensor) -> None:
        """Set the first weights by some training rows, where the body does so."""
        if isinstance(self.body, RowBody):
            self.body.begin(self.inputs(rows))

    def forward(self, rows: Tensor) -> Tensor:
        return self.score(*self.inputs.parts(rows), self.inputs.real(rows))

    def score(self, numbers: Tensor, vectors: Tensor, real: Tensor | None) -> Tensor:
        """[batch, 1]: log odds by the parts of rows, for what is attributed to them; `real`, [batch, length, 1]: 0 before the first row."""
        read = self.inputs.read(numbers, vectors)
        odds: Tensor = self.last(self.body(read) if real is None else self.body(read * real, real))
        return odds

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        if self.training and self.smoothing:
            targets = targets * (1 - self.smoothing) + self.smoothing / 2
        if self.training and self.shift:
            output = output + self.shift
        return functional.binary_cross_entropy_with_logits(output, targets)

    def quantiles(self, output: Tensor) -> Tensor:
        return output[:, :, None]

    def groups(self, factors: bool) -> list[dict[str, Any]]:
        """Parameters by how they are learnt: `factor` on the learning rate, and whether they decay (`decays`).

        `factors`: those of RealMLP: 6 for the factors on inputs; 0.1 for biases, bends and the embedding of numbers; else 1.
        """
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            factor = 1.0
            if factors:
                slow = name.endswith(("bias", "bend")) or ".numeric." in name
                factor = 6.0 if name in ("inputs.scale", "inputs.reduced_scale") else 0.1 if slow else 1.0
            decays = parameter.ndim > 1 and not name.endswith(("bias", "phase", "absent"))
            groups.setdefault((factor, decays), []).append(parameter)
        return [{"params": parameters, "factor": factor, "decays": decays} for (factor, decays), parameters in groups.items()]
