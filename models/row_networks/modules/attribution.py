"""What moved the log odds of a network of rows: integrated gradients by captum, with enough steps that the parts add up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from finflow.models.base import Contributions
from finflow.models.row_networks.modules.rows import RowForecaster, RowInputs
from finflow.models.row_networks.row_batches import RowBatches
from finflow.models.row_networks.row_encoding import RowEncoding
from finflow.models.samples import Float32

#: by how much the parts may miss the log odds, before more steps are taken for that row
TOLERANCE = 0.01
#: points on the way from the centre to the row (Gauss-Legendre), one after the other
STEPS = (16, 64, 256, 1024)
#: rows that are explained at once, always so many, so that a row's bits do not depend on its neighbours
ROWS = 64


def integrated_gradients(forecaster: RowForecaster, encoding: RowEncoding, batches: RowBatches) -> Contributions:
    """Parts by feature and category. Rows whose parts miss their log odds by more than `TOLERANCE` are done again with more steps; what is
    left after the most is in `Contributions.error`."""
    count = len(batches)
    values = np.zeros((count, len(encoding.location) + len(encoding.common)), dtype=np.float32)
    base, score = np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.float32)
    left = np.arange(count)
    for steps in STEPS:
        for start in range(0, len(left), ROWS):
            chosen = left[start : start + ROWS]
            padded = np.concatenate([chosen, np.repeat(chosen[-1], ROWS - len(chosen))])
            attributed, at_base, at_row = _attribute(forecaster, encoding, torch.from_numpy(batches.draw(padded)), steps)
            values[chosen], base[chosen], score[chosen] = attributed[: len(chosen)], at_base[: len(chosen)], at_row[: len(chosen)]
        missed = np.abs(Contributions(values, base, score).error)
        left = np.flatnonzero(missed > TOLERANCE)
        if not len(left):
            break
    return Contributions(values, base, score)


def _attribute(forecaster: RowForecaster, encoding: RowEncoding, rows: Tensor, steps: int) -> tuple[Float32, Float32, Float32]:
    from captum.attr import IntegratedGradients

    inputs = forecaster.inputs
    real = inputs.real(rows)
    centre = torch.from_numpy(encoding.nothing_known).expand(*rows.shape[:2], -1)
    with torch.no_grad():
        ends, begins = inputs.parts(rows), inputs.parts(centre)
        at_row, at_base = forecaster.score(*ends, real)[:, 0], forecaster.score(*begins, real)[:, 0]
    # Without categories captum would be given an empty input, of which it wants gradients.
    named = [end.shape[-1] > 0 for end in ends]

    def score(*given: Tensor) -> Tensor:
        given_parts = iter(given)
        full = [next(given_parts) if there else end[:1].expand(len(given[0]), -1, -1) for there, end in zip(named, ends, strict=True)]
        same = None if real is None else real.repeat(len(given[0]) // len(real), 1, 1)
        odds: Tensor = forecaster.score(full[0], full[1], same)[:, 0]
        return odds

    gradients = IntegratedGradients(score).attribute(  # type: ignore[no-untyped-call]
        tuple(end for end, there in zip(ends, named, strict=True) if there),
        tuple(begin for begin, there in zip(begins, named, strict=True) if there),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=ROWS * 16,
    )
    parts = iter(gradients)
    full = [next(parts) if there else torch.zeros_like(end) for there, end in zip(named, ends, strict=True)]
    return _by_name(full[0].sum(1), full[1].sum(1), inputs, encoding), at_base.numpy(), at_row.numpy()


def _by_name(numbers: Tensor, vectors: Tensor, inputs: RowInputs, encoding: RowEncoding) -> Float32:
    """float32, [n, features + categories]: a feature with its sign of missing, a category with all of its vectors."""
    by_feature = inputs.by_feature(numbers[:, : inputs.own])
    by_feature[:, torch.from_numpy(encoding.signed)] += numbers[:, inputs.own :]
    by_column: Float32 = torch.cat((by_feature, _by_category(vectors, inputs)), dim=1).detach().numpy().astype(np.float32)
    return by_column


def _by_category(vectors: Tensor, inputs: RowInputs) -> Tensor:
    """[n, categories]: vectors come in rounds of one a category."""
    if not inputs.sizes:
        return vectors[:, :0]
    sums = torch.stack([part.sum(1) for part in vectors.split(inputs.widths, dim=1)], dim=1)
    return sums.unflatten(1, (-1, len(inputs.sizes))).sum(1)
