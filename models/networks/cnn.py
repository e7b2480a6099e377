"""Convolutional network: dilated causal convolutions over the window, or plain ones with pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.errors import FitFailure
from finflow.models.networks.network import Network
from finflow.models.networks.network_settings import NetworkSettings, Whole, Width

if TYPE_CHECKING:
    from finflow.models.networks.modules.forecaster import Forecaster


class CnnSettings(NetworkSettings):
    """Dilated causal convolutions: block b looks 2**b steps apart. With `pool`: plain ones and pooling, as in the tutorials."""

    channels: Width = Field(default=16, description="of each convolution")
    kernel: Whole = Field(default=3, ge=2, le=64, description="steps that a convolution spans")
    layers: Whole = Field(default=4, ge=1, le=10, description="residual blocks of two convolutions each; with `pool`: convolutions")
    pool: Whole = Field(
        default=0,
        ge=0,
        le=64,
        description="0: dilated; else each convolution is followed by the largest of so many steps, all are read at the end",
    )
    dense: tuple[Width, ...] = Field(default=(), max_length=16, description="units of each dense layer after them")


class Cnn(Network):
    """A temporal convolutional network (Bai, Kolter and Koltun, 2018) read at its last step.

    With `pool` it is the tutorials' network: `{channels: 64, kernel: 3, layers: 1, pool: 2, dense: [64, 32]}` is a Conv1D of 64 filters of
    width 3, max pooling over two steps, and dense layers of 64 and 32 units.
    """

    Settings: ClassVar[type[ModelSettings]] = CnnSettings
    family: ClassVar[str] = "cnn"
    settings: CnnSettings

    def module(self) -> Forecaster:
        # late: loads torch
        from finflow.models.networks.modules.cnn import CnnBody, PooledBody, pooled_steps
        from finflow.models.networks.modules.forecaster import supervised

        settings, inputs = self.settings, len(self.task.features)
        shape = (settings.channels, settings.kernel, settings.layers)
        if not settings.pool:
            return supervised(CnnBody(inputs, *shape, settings.dense, settings.dropout), settings, self.task)
        if pooled_steps(self.task.length, settings.kernel, settings.layers, settings.pool) < 1:
            raise FitFailure(
                f"a window of {self.task.length} observations is too short for {settings.layers} convolutions of width {settings.kernel}, "
                f"each pooled over {settings.pool} steps: lower layers, kernel or pool, or raise window.length"
            )
        return supervised(
            PooledBody(inputs, self.task.length, *shape, settings.pool, settings.dense, settings.dropout), settings, self.task
        )
