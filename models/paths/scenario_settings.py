"""What a person may set of the generator of scenarios. Light: read without importing torch."""

from __future__ import annotations

from pydantic import Field

from finflow.models.networks.network_settings import Real, TrainingSettings, Whole, Width


class ScenarioGanSettings(TrainingSettings):
    """A generator whose past shocks drive volatility, and the critic that it is trained against."""

    batch: Whole = Field(default=64, ge=1, le=1_048_576, description="paths a gradient step, drawn and real")
    learning_rate: Real = Field(default=0.001, gt=0, le=1, description="largest step of AdamW")
    channels: Width = Field(default=8, description="of the generator's convolution")
    layers: Whole = Field(default=7, ge=1, le=12, description="of the generator; it remembers 2 ** layers shocks")
    critic: Width = Field(default=16, description="channels of the critic's convolution")
    segment: Whole | None = Field(
        default=None, ge=2, le=10_000, description="steps that the critic reads: the window's last and the path; all of both by default"
    )
    moments: Real = Field(
        default=1.0,
        ge=0,
        le=1000,
        description="weight of the distance of a few moments (lags of |r|, leverage, quantiles) from the training part's",
    )
    context: Whole = Field(default=2500, ge=50, le=20_000, description="past increments whose deviation the drawn ones are brought to")
    filter: Whole = Field(default=250, ge=1, le=5000, description="past increments whose shocks a path goes on from")
