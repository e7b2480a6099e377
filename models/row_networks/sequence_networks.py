"""Networks on an entity's last rows: what a customer did before this transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from finflow.models.base import ModelSettings
from finflow.models.row_networks.row_encoding import RowEncoding
from finflow.models.row_networks.row_settings import SequenceCnnSettings, SequenceLstmSettings, SequenceSettings
from finflow.models.row_networks.supervised import SupervisedRowNetwork

if TYPE_CHECKING:
    from finflow.models.row_networks.modules.rows import RowForecaster


class SequenceNetwork(SupervisedRowNetwork):
    """Reads the last `length` rows of the sample's entity, up to its own. How long ago they were is a feature's to say
    (`kind: time_since`): a served model is given rows without times.
    """

    settings: SequenceSettings

    @property
    def reach(self) -> int:
        return self.settings.length


class SequenceLstm(SequenceNetwork):
    """LSTM layers (Hochreiter and Schmidhuber, 1997), read at the sample's own row."""

    Settings: ClassVar[type[ModelSettings]] = SequenceLstmSettings
    family: ClassVar[str] = "recurrent"
    settings: SequenceLstmSettings

    def module(self, encoding: RowEncoding) -> RowForecaster:
        # late: loads torch
        from finflow.models.networks.modules.recurrent import RecurrentBody
        from finflow.models.row_networks.modules.row_sequences import RecurrentRows
        from finflow.models.row_networks.modules.rows import RowForecaster

        settings = self.settings
        inputs = self.inputs(encoding, scale=False)
        body = RecurrentBody(inputs.width, "lstm", settings.hidden, settings.dense, settings.dropout)
        return RowForecaster(inputs, RecurrentRows(body), False, settings.label_smoothing)


class SequenceCnn(SequenceNetwork):
    """Dilated causal convolutions (Bai, Kolter and Koltun, 2018), read at the sample's own row."""

    Settings: ClassVar[type[ModelSettings]] = SequenceCnnSettings
    family: ClassVar[str] = "cnn"
    settings: SequenceCnnSettings

    def module(self, encoding: RowEncoding) -> RowForecaster:
        # late: loads torch
        from finflow.models.networks.modules.cnn import CnnBody
        from finflow.models.row_networks.modules.row_sequences import ConvolvedRows
        from finflow.models.row_networks.modules.rows import RowForecaster

        settings = self.settings
        inputs = self.inputs(encoding, scale=False)
        body = CnnBody(inputs.width, settings.channels, settings.kernel, settings.layers, settings.dense, settings.dropout)
        return RowForecaster(inputs, ConvolvedRows(body), False, settings.label_smoothing)
