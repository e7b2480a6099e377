"""Networks of rows that learn from the classes: they may read, beside a row, the few numbers that an autoencoder reduces it to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from models.base import Hardware, ModelSettings, Task
from models.reduced import fit_encoder, new_encoder
from models.reduced_settings import check_reduced
from models.row_encoding import RowEncoding
from models.row_network import RowNetwork
from models.row_settings import SupervisedRowSettings
from models.samples import Samples

if TYPE_CHECKING:
    from models.modules.reduced import Encoder
    from models.modules.rows import RowInputs


class SupervisedRowNetwork(RowNetwork):
    """With `reduced` an autoencoder is fitted first (models/reduced.py), and the network reads its bottleneck beside the row."""

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
        from models.modules.reduced import ReducedInputs

        encoder = self.encoder if self.encoder is not None else new_encoder(self.settings, self.settings.reduced, self.task, encoding)
        return partial(ReducedInputs, encoder)

    def fit_before(self, train: Samples, validation: Samples, seed: int, hardware: Hardware) -> dict[str, Any]:
        if self.settings.reduced is None:
            return {}
        parts = train, validation
        self.encoder, notes = fit_encoder(self.settings, self.settings.reduced, self.task, parts, seed=seed, hardware=hardware)
        return {"reduced": notes}
