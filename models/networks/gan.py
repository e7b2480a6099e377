"""Conditional generative network: paths drawn by a generator, trained against a critic."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from finflow.models.base import ModelSettings
from finflow.models.networks.network import Network
from finflow.models.networks.network_settings import GanSettings

if TYPE_CHECKING:
    from finflow.models.networks.modules.forecaster import Forecaster
    from finflow.models.networks.modules.training import Part, Training


class Gan(Network):
    """ForGAN (Koochali, Schichtel, Dengel and Ahmed, 2019: Probabilistic forecasting of sensory data with generative adversarial networks).

    The generator reads the window and noise, and draws the path of the targets; the quantiles are those of `paths` draws, and an expected
    variance is their mean. The draws use one fixed table of noise, kept with the weights, so a sample's answer depends on its window alone.

    A critic alone leaves the spread of a forecast to chance, so the generator also learns by a proper scoring rule of its draws
    (Pacchiardi, Adewoyin, Dueben and Dutta, 2024: Probabilistic forecasting with generative networks via scoring rule minimization).
    """

    Settings: ClassVar[type[ModelSettings]] = GanSettings
    family: ClassVar[str] = "gan"
    settings: GanSettings

    def module(self) -> Forecaster:
        # late: loads torch
        from finflow.models.networks.modules.gan import Generator

        return Generator(self.settings, self.task)

    def training(self, forecaster: Forecaster, train: Part, validation: Part, seed: int) -> Training:
        # late: loads torch
        from finflow.models.networks.modules.gan import Generator

        # late: loads pytorch_lightning, torch
        from finflow.models.networks.modules.gan_training import AdversarialTraining

        assert isinstance(forecaster, Generator)
        return AdversarialTraining(forecaster, self.settings, self.task, train, validation, seed)
