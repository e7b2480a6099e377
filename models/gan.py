"""Conditional generative network: paths drawn by a generator, trained against a critic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from models.base import ModelSettings
from models.network import Network
from models.network_settings import Real, TrainingSettings, Whole, Width

if TYPE_CHECKING:
    from models.modules.forecaster import Forecaster
    from models.modules.training import Part, Training


class GanSettings(TrainingSettings):
    """A generator conditioned on the window, and the critic that it is trained against."""

    batch: Whole = Field(default=256, ge=1, le=1_048_576, description="samples a gradient step")
    cell: Literal["lstm", "gru", "rnn"] = Field(default="lstm", description="the kind of recurrent layer")
    hidden: Width = Field(default=16, description="units of the recurrent layer and of the dense one, in the generator and in the critic")
    noise: Width = Field(default=8, description="random inputs of the generator")
    paths: Whole = Field(
        default=256, ge=20, le=100_000, description="paths drawn a sample, whose quantiles or mean are the answer; best a power of 2"
    )
    crps_weight: Real = Field(
        default=5.0, ge=0, le=1_000, description="weight of the CRPS of `draws` beside the critic's verdict; 0: the critic alone"
    )
    draws: Whole = Field(default=16, ge=2, le=1_000, description="paths drawn a window in training, of which that CRPS is estimated")
    learning_rate: Real = Field(default=0.005, gt=0, le=1, description="largest step of AdamW")

    @model_validator(mode="before")
    @classmethod
    def _no_augmentation(cls, values: Any) -> Any:
        if isinstance(values, dict) and "augmentation" in values:
            raise ValueError(
                "augmentation is for networks trained by a loss: here generated samples would teach the critic that another generator's "
                "mistakes are real; leave it out, or choose recurrent, cnn or dense"
            )
        return values


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
        from models.modules.gan import Generator

        return Generator(self.settings, self.task)

    def training(self, forecaster: Forecaster, train: Part, validation: Part, seed: int) -> Training:
        from models.modules.gan import Generator
        from models.modules.gan_training import AdversarialTraining

        assert isinstance(forecaster, Generator)
        return AdversarialTraining(forecaster, self.settings, self.task, train, validation, seed)
