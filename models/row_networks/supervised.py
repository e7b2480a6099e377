"""Networks of rows that learn from the classes: they may read, beside a row, the few numbers that an autoencoder reduces it to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from finflow.models.base import Hardware, ModelSettings, Task
from finflow.models.row_networks.reduced import fit_encoder, new_encoder
from finflow.models.row_networks.reduced_settings import check_reduced
from finflow.models.row_networks.row_encoding import RowEncoding
from finflow.models.row_networks.row_network import RowNetwork
from finflow.models.row_networks.row_settings import SupervisedRowSettings
from finflow.models.samples import Samples

if TYPE_CHECKING:
    from finflow.models.row_networks.modules.reduced import Encoder
    from finflow.models.row_networks.modules.rows import RowInputs


class SupervisedRowNetwork(RowNetwork):
    """With `reduced` an autoencoder is fitted first (models/row_networks/reduced.py), and the network reads its bottleneck beside the
    row."""

    settings: SupervisedRowSettings

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.encoder: Encoder | None = None  # of a new network, where `reduced` asks for one; None: one with random weights

    def check_task(self) -> None:
        super().check_task()
        if self.settings.reduced is not None:
            check_reduced(self.settings.reduced, self.task)

    def kind_of_inputs(self, encoding: RowEncoding) -> Callable[..., RowInputs]:
        if self.settings.reduced is None:
            return super().kind_of_inputs(encoding)
        # late: loads torch
        from finflow.models.row_networks.modules.reduced import ReducedInputs

        encoder = self.encoder if self.encoder is not None else new_encoder(self.settings, self.settings.reduced, self.task, encoding)
        return partial(ReducedInputs, encoder)

    def fit_before(self, train: Samples, validation: Samples, seed: int, hardware: Hardware) -> dict[str, Any]:
        if self.settings.reduced is None:
            return {}
        parts = train, validation
        self.encoder, notes = fit_encoder(self.settings, self.settings.reduced, self.task, parts, seed=seed, hardware=hardware)
        return {"reduced": notes}
