"""The autoencoder whose bottleneck another network of rows reads: its settings, its fit, and what of it that network keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from finflow.models.base import Hardware, Task
from finflow.models.errors import FitFailure
from finflow.models.row_networks.autoencoder import Autoencoder
from finflow.models.row_networks.reduced_settings import Reduced
from finflow.models.row_networks.row_encoding import RowEncoding
from finflow.models.row_networks.row_settings import AutoencoderSettings, SupervisedRowSettings
from finflow.models.samples import Float64, Samples

if TYPE_CHECKING:
    from finflow.models.row_networks.modules.reduced import Encoder
    from finflow.models.row_networks.modules.rows import RowBody, RowForecaster

#: beside the fit's seed, of the autoencoder's
STREAM = 1
#: a number in the bottleneck that varies less than this over the training part says nothing
LEAST_SPREAD = 1e-6


def autoencoder_of(settings: SupervisedRowSettings, reduced: Reduced, task: Task) -> Autoencoder:
    """Unfitted; it encodes rows as the network does."""
    values = {
        **{name: getattr(settings, name) for name in ("scaling", "one_hot", "embedding", "fewest", "steps")},
        **{name: getattr(reduced, name) for name in ("hidden", "epochs", "batch", "learning_rate", "patience")},
        "reduced": reduced.units,
        "hidden_numbers": reduced.hidden_parts,
        "hidden_categories": reduced.hidden_parts,
    }
    return Autoencoder(AutoencoderSettings.model_validate(values), task)


def new_encoder(settings: SupervisedRowSettings, reduced: Reduced, task: Task, encoding: RowEncoding) -> Encoder:
    """With random weights, for those that were saved."""
    # late: loads torch
    from finflow.models.row_networks.modules.reduced import Encoder

    module = autoencoder_of(settings, reduced, task).module(encoding)
    return Encoder(module.inputs, cast("RowBody", module.body))


def fit_encoder(
    settings: SupervisedRowSettings, reduced: Reduced, task: Task, parts: tuple[Samples, Samples], *, seed: int, hardware: Hardware
) -> tuple[Encoder, dict[str, Any]]:
    """Fit an autoencoder on the rows of the samples, and freeze what leads to its bottleneck. The labels are not used.

    Args:
        parts: training; validation, by whose error it stops.
        seed: of the network's fit; the autoencoder's is another one, derived from it.

    Returns:
        What a new network reads, and notes on the fit; errors are those of `RowAutoencoder.errors`.

    Raises:
        FitFailure: a loss is not finite, or a number is infinite.
    """
    # late: loads torch
    from finflow.models.row_networks.modules.reduced import Encoder

    train, validation = parts
    model = autoencoder_of(settings, reduced, task)
    derived = int(np.random.SeedSequence([seed, STREAM]).generate_state(1)[0])
    try:
        report = model.fit_rows(train, validation, seed=derived, hardware=hardware)
    except FitFailure as error:
        raise type(error)(f"the autoencoder that `reduced` asks for: {error}") from error
    module = cast("RowForecaster", model.forecaster)
    encoder = Encoder(module.inputs, cast("RowBody", module.body))
    _scale(encoder, model.reduced(train).astype(np.float64))
    notes = {
        "units": reduced.units,
        "epochs": len(report.epochs),
        "best_epoch": report.best_epoch,
        "validation_error": min(epoch["validation_loss"] for epoch in report.epochs),
    }
    return encoder, notes


def _scale(encoder: Encoder, codes: Float64) -> None:
    """Have what an encoder gives standardised as these values of it, [n, units], are; what does not vary becomes 0."""
    import torch

    spread = codes.std(axis=0)
    inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > LEAST_SPREAD)
    encoder.location.copy_(torch.from_numpy(codes.mean(axis=0)))
    encoder.inverse.copy_(torch.from_numpy(inverse))
