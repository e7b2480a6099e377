"""Dense network: a multi-layer perceptron on the flattened window."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.networks.network import Network
from finflow.models.networks.network_settings import NetworkSettings, Width

if TYPE_CHECKING:
    from finflow.models.networks.modules.forecaster import Forecaster


class DenseSettings(NetworkSettings):
    """A multi-layer perceptron on the flattened window."""

    hidden: tuple[Width, ...] = Field(default=(64, 32), min_length=1, max_length=16, description="units of each layer")


class Dense(Network):
    """Sees the window as one long row; the simplest network that can use any of it."""

    Settings: ClassVar[type[ModelSettings]] = DenseSettings
    family: ClassVar[str] = "dense"
    settings: DenseSettings

    def module(self) -> Forecaster:
        # late: loads torch
        from finflow.models.networks.modules.dense import DenseBody
        from finflow.models.networks.modules.forecaster import supervised

        body = DenseBody(self.task.length * len(self.task.features), self.settings.hidden, self.settings.dropout)
        return supervised(body, self.settings, self.task)
