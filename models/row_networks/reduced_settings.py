"""What a person may set of the numbers that an autoencoder reduces rows to, for a network that reads them beside the rows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from finflow.models.base import Task
from finflow.models.errors import FitFailure
from finflow.models.networks.network_settings import Real, Whole, Width


class Reduced(BaseModel):
    """A denoising autoencoder, fitted before the network and without the labels, whose bottleneck the network reads too."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    units: Width = Field(default=8, description="numbers in the bottleneck; fewer than a row has features and categories")
    hidden: tuple[Width, ...] = Field(default=(64,), min_length=1, max_length=16, description="units of each layer before the bottleneck")
    epochs: Whole = Field(default=100, ge=1, le=100_000, description="passes over the training part, at most; `steps` limits them too")
    batch: Whole = Field(default=256, ge=1, le=1_048_576, description="rows a gradient step")
    learning_rate: Real = Field(default=0.01, gt=0, le=1, description="largest step of AdamW")
    patience: Whole = Field(default=10, ge=1, le=100_000, description="epochs without a lower validation error before it stops")
    hidden_parts: Real = Field(default=0.1, ge=0, lt=1, description="chance that training hides a number or a category of a row")


def check_reduced(reduced: Reduced, task: Task) -> None:
    """Raises FitFailure: rows would be given in as many numbers as they have, or in more."""
    inputs = len(task.features) + len(task.categories)
    if reduced.units >= inputs:
        raise FitFailure(
            f"reduced.units is {reduced.units}, and a row has {inputs} features and categories: to reduce them, set it below {inputs}, or "
            "leave `reduced` out"
        )
