"""What a person may set for a network. Light: a definition is checked against these without importing torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from finflow.models.augmentation import Augmentation
from finflow.models.base import ModelSettings

#: A whole number as YAML writes it: `true` and "8" are no numbers.
Whole = Annotated[int, Field(strict=True)]
Real = Annotated[float, Field(strict=True)]
Width = Annotated[int, Field(strict=True, ge=1, le=8192)]


class GradientSettings(ModelSettings):
    """How gradient steps are taken, whatever is trained."""

    epochs: Whole = Field(default=20, ge=1, le=100_000, description="passes over the training part, at most")
    batch: Whole = Field(default=512, ge=1, le=1_048_576, description="samples a gradient step")
    learning_rate: Real = Field(default=0.003, gt=0, le=1, description="largest step of AdamW")
    schedule: Literal["cosine", "constant", "coslog4"] = Field(
        default="cosine",
        description="cosine: a short rise, then down to nothing over `epochs`; coslog4: four waves, each twice as long as the one before",
    )
    weight_decay: Real = Field(default=0.0001, ge=0, le=1, description="of AdamW, on weights but not on biases")
    clip: Real = Field(default=1.0, gt=0, le=1_000_000, description="largest norm of a gradient")
    dropout: Real = Field(default=0.0, ge=0, lt=1, description="chance that training leaves a unit out")
    patience: Whole = Field(default=5, ge=1, le=100_000, description="epochs without a better validation loss before the fit stops")


class TrainingSettings(GradientSettings):
    """How a network of windows is trained, whatever its shape."""

    scaling: Literal["standard", "robust", "minmax", "none"] = Field(
        default="standard", description="of features and targets, fitted on the training part of the fold alone"
    )
    predicts: Literal["change", "level"] = Field(
        default="change", description="what the network answers: the change that the problem asks for, or the level it ends at (a price)"
    )
    residual: Literal["none", "har", "log_har", "log_har_leverage"] = Field(
        default="none",
        description="variances: the output is added to the logarithm of this regression's forecast, which stays as it was fitted",
    )


class NetworkSettings(TrainingSettings):
    """Training settings of a network with a loss of its own choice."""

    loss: Literal["quantile", "student_t", "mse", "qlike", "cross_entropy"] = Field(
        default="quantile",
        description="pinball loss over the levels, likelihood of a Student t, or squared error with a spread from validation; expected "
        "variances: qlike, always; probabilities of classes: cross_entropy, always",
    )
    centred: bool = Field(
        default=False, description="take each window's own mean off its scaled features; throws the level of the window away"
    )
    augmentation: Augmentation | None = Field(
        default=None,
        description="generated training samples beside the real ones, where the validation part says that they help; {} takes the defaults",
    )


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
