"""A dense network on one row: RealMLP by default, the textbook's 64-32-1 with `recipe: textbook`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from finflow.models.base import ModelSettings
from finflow.models.row_networks.row_encoding import RowEncoding
from finflow.models.row_networks.row_settings import TabularDenseSettings
from finflow.models.row_networks.supervised import SupervisedRowNetwork

if TYPE_CHECKING:
    from finflow.models.row_networks.modules.rows import RowForecaster


class TabularDense(SupervisedRowNetwork):
    """A multi-layer perceptron with the recipe of RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default", 2024): robust scaling
    with a smooth bend, periodic embeddings of numbers, embedded or one-hot categories, a learnt factor on every input, the neural tangent
    parametrisation, learnt bends of SELU, dropout and decay that fade, waves of the learning rate, and the best epoch's weights.

    Different from it: labels are not smoothed, the validation log loss chooses the epoch, the output starts from the base rate, and missing
    numbers are marked.
    """

    Settings: ClassVar[type[ModelSettings]] = TabularDenseSettings
    family: ClassVar[str] = "dense"
    settings: TabularDenseSettings

    def module(self, encoding: RowEncoding) -> RowForecaster:
        # late: loads torch
        from finflow.models.row_networks.modules.rows import RowBody, RowForecaster

        settings = self.settings
        inputs = self.inputs(encoding, scale=settings.tangent)
        body = RowBody(inputs.width, settings.hidden, settings.activation, settings.dropout, settings.tangent, settings.factors)
        return RowForecaster(inputs, body, settings.tangent, settings.label_smoothing)
