"""Convolutional network: dilated causal convolutions over the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from models.base import ModelSettings
from models.network import Network
from models.network_settings import NetworkSettings, Whole, Width

if TYPE_CHECKING:
    from models.modules.forecaster import Forecaster


class CnnSettings(NetworkSettings):
    """Dilated causal convolutions: block b looks 2**b steps apart."""

    channels: Width = 16
    kernel: Whole = Field(default=3, ge=2, le=64)
    layers: Whole = Field(default=4, ge=1, le=10, description="residual blocks of two convolutions each")
    dense: tuple[Width, ...] = Field(default=(), max_length=16, description="units of each dense layer after them")


class Cnn(Network):
    """A temporal convolutional network (Bai, Kolter and Koltun, 2018) read at its last step."""

    Settings: ClassVar[type[ModelSettings]] = CnnSettings
    family: ClassVar[str] = "cnn"
    settings: CnnSettings

    def module(self) -> Forecaster:
        from models.modules.cnn import CnnBody
        from models.modules.forecaster import supervised

        settings = self.settings
        body = CnnBody(len(self.task.features), settings.channels, settings.kernel, settings.layers, settings.dense, settings.dropout)
        return supervised(body, settings, self.task)
