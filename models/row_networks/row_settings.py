"""What a person may set for a network of rows. Light: a definition is checked against these without importing torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from finflow.models.networks.network_settings import GradientSettings, Real, Whole, Width
from finflow.models.row_networks.reduced_settings import Reduced
from finflow.models.rows.tabular import AugmentedSettings, TabularSettings

#: RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default", 2024), but for label smoothing: see `label_smoothing`
REALMLP: dict[str, Any] = {
    "hidden": (256, 256, 256),
    "activation": "selu",
    "scaling": "robust",
    "numeric": "periodic",
    "tangent": True,
    "factors": True,
    "fade": True,
    "one_hot": 9,
    "epochs": 256,
    "batch": 256,
    "learning_rate": 0.04,
    "schedule": "coslog4",
    "beta2": 0.95,
    "weight_decay": 0.02,
    "dropout": 0.15,
    "patience": 256,
    "clip": 1_000_000.0,
}
#: two small layers with ReLU on standardised and one-hot inputs
TEXTBOOK: dict[str, Any] = {
    "hidden": (64, 32),
    "activation": "relu",
    "scaling": "standard",
    "numeric": "plain",
    "tangent": False,
    "factors": False,
    "fade": False,
    "one_hot": 100_000,
    "epochs": 100,
    "batch": 256,
    "learning_rate": 0.001,
    "schedule": "constant",
    "beta2": 0.999,
    "weight_decay": 0.0,
    "dropout": 0.0,
    "patience": 10,
    "clip": 1_000_000.0,
    "hidden_categories": 0.0,
}


class RowNetworkSettings(TabularSettings, GradientSettings):
    """What networks of rows have in common."""

    steps: Whole = Field(
        default=30_000, ge=1, le=10_000_000, description="gradient steps at most: with many rows, fewer epochs than `epochs` are planned"
    )
    scaling: Literal["robust", "standard"] = Field(
        default="robust", description="of numbers: median and quartiles and a smooth bend, or mean and deviation and a cut at 10"
    )
    numeric: Literal["periodic", "piecewise", "plain"] = Field(
        default="periodic", description="numbers embedded by cosines (PBLD), by the bins that they have passed (PLE), or as they are"
    )
    bins: Whole = Field(default=48, ge=2, le=1024, description="of a number at most, with numeric: piecewise; edges are quantiles")
    missing: Literal["indicator", "embedding"] = Field(
        default="indicator",
        description="a missing number is the median with a sign beside it, or has an embedding of its own (asks for numeric: periodic)",
    )
    one_hot: Whole = Field(default=9, ge=0, le=1_000_000, description="categories with at most so many values are one-hot, others embedded")
    embedding: Whole = Field(default=8, ge=1, le=1024, description="numbers in the embedding of a category")
    fewest: Whole = Field(default=1, ge=1, le=1_000_000, description="a category that fewer training rows have counts as unknown")
    hidden_categories: Real = Field(
        default=0.02, ge=0, lt=1, description="chance that training hides a category, so that what an unknown one says is learnt"
    )
    label_smoothing: Real = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="RealMLP's is 0.1, which pulls every probability towards a half and drowns rare classes; 0 keeps the log loss proper",
    )
    beta2: Real = Field(default=0.95, gt=0, lt=1, description="of Adam: the memory of squared gradients")
    factors: bool = Field(default=True, description="learning rates by kind of weight, as in RealMLP")
    fade: bool = Field(default=True, description="dropout and decay go down to nothing over the second half")
    averaging: bool = Field(default=False, description="judge and keep a running average of the weights over about 200 steps")

    @property
    def encoded_bins(self) -> int:
        """Bins of a number at most; 0: numbers are not read by bins."""
        return self.bins if self.numeric == "piecewise" else 0

    @model_validator(mode="after")
    def _embedding_needs_one(self) -> RowNetworkSettings:
        if self.missing == "embedding" and self.numeric != "periodic":
            raise ValueError(f"missing: embedding needs numeric: periodic; with numeric: {self.numeric} take missing: indicator")
        return self


class SupervisedRowSettings(RowNetworkSettings):
    """What networks of rows that learn from the classes have in common."""

    reduced: Reduced | None = Field(
        default=None,
        description="what an autoencoder, fitted first and without the labels, reduces a row to is read beside the row; {}: defaults",
    )

    @model_validator(mode="after")
    def _reduced_reads_numbers(self) -> SupervisedRowSettings:
        if self.reduced is not None and self.numeric == "piecewise":
            raise ValueError("reduced: the autoencoder reads numbers, not bins: take numeric: periodic or plain with it")
        return self


class TabularDenseSettings(SupervisedRowSettings, AugmentedSettings):
    """A dense network on one row. What is not set is as the recipe has it."""

    RECIPES: ClassVar[dict[str, dict[str, Any]]] = {"realmlp": REALMLP, "textbook": TEXTBOOK}

    recipe: Literal["realmlp", "textbook"] = Field(default="realmlp", description="which recipe's defaults count")
    hidden: tuple[Width, ...] = Field(default=(256, 256, 256), min_length=1, max_length=16, description="units of each layer")
    activation: Literal["selu", "mish", "relu"] = Field(default="selu", description="between layers")
    tangent: bool = Field(default=True, description="neural tangent parametrisation, with first weights and boundaries set by the data")

    @model_validator(mode="before")
    @classmethod
    def _as_the_recipe_has_it(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        recipe = values.get("recipe", "realmlp")
        return {**cls.RECIPES.get(recipe if isinstance(recipe, str) else "", {}), **values}


#: a small network that is trained briefly, on rows some of whose parts are hidden
AUTOENCODER: dict[str, Any] = {"numeric": "plain", "factors": False, "fade": False, "batch": 256, "beta2": 0.999, "hidden_categories": 0.1}


class AutoencoderSettings(RowNetworkSettings):
    """A network that gives a row back through a bottleneck."""

    hidden: tuple[Width, ...] = Field(default=(64,), min_length=1, max_length=16, description="units of each layer before the bottleneck")
    reduced: Width = Field(default=8, description="numbers in the bottleneck")
    hidden_numbers: Real = Field(
        default=0.1, ge=0, lt=1, description="chance that training hides a number, so that what is missing can be filled in"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_training(cls, values: Any) -> Any:
        return {**AUTOENCODER, **values} if isinstance(values, dict) else values


#: a short training of a network that reads few rows, as other sequence networks here are trained
SEQUENCE: dict[str, Any] = {
    "numeric": "plain",
    "factors": False,
    "fade": False,
    "batch": 256,
    "beta2": 0.999,
}


class SequenceSettings(SupervisedRowSettings):
    """A network on an entity's last rows."""

    length: Whole = Field(default=16, ge=2, le=10_000, description="rows that are read, the sample's own among them")
    dense: tuple[Width, ...] = Field(default=(32,), max_length=16, description="units of each dense layer at the end")

    @model_validator(mode="before")
    @classmethod
    def _short_training(cls, values: Any) -> Any:
        return {**SEQUENCE, **values} if isinstance(values, dict) else values


class SequenceLstmSettings(SequenceSettings):
    """Stacked LSTM layers."""

    hidden: tuple[Width, ...] = Field(default=(48,), min_length=1, max_length=16, description="units of each recurrent layer")


class SequenceCnnSettings(SequenceSettings):
    """Dilated causal convolutions."""

    channels: Width = Field(default=32, description="of each convolution")
    kernel: Whole = Field(default=3, ge=2, le=64, description="steps that a convolution spans")
    layers: Whole = Field(default=3, ge=1, le=12, description="blocks; each sees twice as far back as the one before")
