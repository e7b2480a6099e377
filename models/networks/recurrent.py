"""Recurrent networks: LSTM, GRU or plain RNN layers over the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.networks.network import Network
from finflow.models.networks.network_settings import NetworkSettings, Whole, Width

if TYPE_CHECKING:
    from finflow.models.networks.modules.forecaster import Forecaster


class RecurrentSettings(NetworkSettings):
    """Stacked recurrent layers, then dense layers on the last state."""

    batch: Whole = Field(
        default=256, ge=1, le=1_048_576, description="samples a gradient step; the states of more do not fit a core's cache"
    )
    cell: Literal["lstm", "gru", "rnn"] = Field(default="lstm", description="the kind of recurrent layer")
    hidden: tuple[Width, ...] = Field(default=(32,), min_length=1, max_length=16, description="units of each recurrent layer")
    dense: tuple[Width, ...] = Field(default=(), max_length=16, description="units of each dense layer after them")


class Recurrent(Network):
    """Stacked recurrent layers (LSTM: Hochreiter and Schmidhuber, 1997; GRU: Cho et al., 2014), read at their last step."""

    Settings: ClassVar[type[ModelSettings]] = RecurrentSettings
    family: ClassVar[str] = "recurrent"
    settings: RecurrentSettings

    def module(self) -> Forecaster:
        # late: loads torch
        from finflow.models.networks.modules.forecaster import supervised
        from finflow.models.networks.modules.recurrent import RecurrentBody

        settings = self.settings
        body = RecurrentBody(len(self.task.features), settings.cell, settings.hidden, settings.dense, settings.dropout)
        return supervised(body, settings, self.task)
