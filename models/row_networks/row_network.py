"""What the networks of rows share: encoding, training by Lightning, log odds in batches of one shape, and what moved them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Contributions, FitReport, Hardware, ModelSettings, Task
from finflow.models.class_codes import class_codes
from finflow.models.errors import FitFailure
from finflow.models.networks.network import PREDICTION_ROWS
from finflow.models.reproducible import one_thread_count, reproducible
from finflow.models.row_networks.row_batches import RowBatches, row_batches
from finflow.models.row_networks.row_encoding import RowEncoding
from finflow.models.row_networks.row_settings import RowNetworkSettings
from finflow.models.rows.calibration import logistic_curve
from finflow.models.rows.tabular import TabularModel
from finflow.models.samples import Samples
from finflow.models.weights import below, put_weights, read_weights, write_weights

if TYPE_CHECKING:
    from finflow.models.networks.modules.training import Part
    from finflow.models.row_networks.modules.row_training import RowTraining
    from finflow.models.row_networks.modules.rows import RowForecaster, RowInputs

#: training rows that first weights are set by
BEGUN_BY = 1024


class RowNetwork(TabularModel):
    """A network of two classes over rows, trained by the log loss of the rows as they are: nothing is weighted or drawn again, because that
    would ruin the probabilities. A subclass gives its module.

    Log odds are found on the CPU by one thread, so that they are the same bits in every process.
    """

    Settings: ClassVar[type[ModelSettings]] = RowNetworkSettings
    seeded: ClassVar[bool] = True
    accelerated: ClassVar[bool] = True
    settings: RowNetworkSettings

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.encoding: RowEncoding | None = None
        self.forecaster: RowForecaster | None = None

    @abstractmethod
    def module(self, encoding: RowEncoding) -> RowForecaster:
        """A new network for the settings, with random weights."""

    def training_kind(self) -> type[RowTraining]:
        """The Lightning module that fits it."""
        # late: loads pytorch_lightning, torch
        from finflow.models.row_networks.modules.row_training import AveragedRowTraining, RowTraining

        return AveragedRowTraining if self.settings.averaging else RowTraining

    @property
    def reach(self) -> int:
        """Rows that a prediction reads, the sample's own among them."""
        return 1

    @property
    def context(self) -> int:
        return max(self.task.length, self.reach)

    def inputs(self, encoding: RowEncoding, *, scale: bool) -> RowInputs:
        """What reads encoded rows, for `module`."""
        settings = self.settings
        return self.kind_of_inputs(encoding)(
            len(encoding.location),
            encoding.signed.tolist(),
            encoding.sizes,
            periodic=settings.numeric == "periodic",
            edges=encoding.edges,
            own_vector=settings.missing == "embedding",
            one_hot=settings.one_hot,
            embedding=settings.embedding,
            scale=scale,
            sequence=self.reach > 1,
        )

    def kind_of_inputs(self, encoding: RowEncoding) -> Callable[..., RowInputs]:
        """The module that `inputs` makes."""
        # late: loads torch
        from finflow.models.row_networks.modules.rows import RowInputs

        return RowInputs

    def fit_before(self, train: Samples, validation: Samples, seed: int, hardware: Hardware) -> dict[str, Any]:
        """Fit what new networks are made with, by default nothing; notes on it."""
        return {}

    def fit_rows(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        # late: loads lightning_fabric, pytorch_lightning, torch
        from finflow.models.networks.modules.trainer import run_training

        check_hardware(hardware, train, validation)
        self._check_samples(train)
        encoding = RowEncoding.fit(
            self.settings.scaling,
            self.numbers(train),
            self.codes(train),
            self.task.features,
            fewest=self.settings.fewest,
            bins=self.settings.encoded_bins,
        )
        before = self.fit_before(train, validation, seed, hardware)
        first, second = self._part(train, encoding), self._part(validation, encoding)
        settings = within_steps(self.settings, len(train))
        with reproducible(seed, hardware.threads):
            forecaster = self.module(encoding)
            forecaster.shift = self.shift
            begin(forecaster, first)
            training = self.training_kind()(forecaster, settings, first, second, seed)
            run_training(training, hardware)
        self.encoding, self.forecaster = encoding, forecaster.eval()
        return FitReport(
            epochs=training.epochs_done(),
            best_epoch=int(training.best) + 1,
            parameters=sum(parameter.numel() for parameter in forecaster.parameters()),
            notes={
                "training_samples": len(train),
                "validation_samples": len(validation),
                "steps_an_epoch": training.steps,
                "epochs_planned": settings.epochs,
                **before,
            },
        )

    def raw_probability(self, samples: Samples) -> NDArray[np.float64]:
        return logistic_curve(self.log_odds(samples).astype(np.float64))

    def log_odds(self, samples: Samples) -> NDArray[np.float32]:
        """float32, [n]: before calibration.

        Raises:
            ValueError: a number is infinite.
        """
        import torch

        encoding, forecaster = self._fitted()
        batches = self._batches(samples, encoding)
        count = len(samples)
        log_odds = np.empty(count, dtype=np.float32)
        with one_thread_count(1), torch.inference_mode():
            for start in range(0, count, PREDICTION_ROWS):
                stop = min(start + PREDICTION_ROWS, count)
                rows = torch.from_numpy(batches.draw(np.minimum(np.arange(start, start + PREDICTION_ROWS), count - 1)))
                log_odds[start:stop] = forecaster(rows).numpy()[: stop - start, 0]
        return log_odds

    def contributions(self, samples: Samples) -> Contributions | None:
        """Integrated gradients (Sundararajan, Taly and Yan, 2017) of the log odds before calibration, from the row at the training part's
        centre: medians (or means), nothing missing, the most common categories; of categories in the space of their vectors, and of numbers
        that are read by bins in the space of those.

        Of a sequence every row of the entity counts, and rows before its first are as they are on both ends.
        """
        # late: loads torch
        from finflow.models.row_networks.modules.attribution import integrated_gradients

        encoding, forecaster = self._fitted()
        with one_thread_count(1):
            return integrated_gradients(forecaster, encoding, self._batches(samples, encoding))

    def save_rows(self, folder: Path) -> None:
        encoding, forecaster = self._fitted()
        write_weights(folder, forecaster, {f"encoding.{name}": array for name, array in encoding.arrays().items()})

    def load_rows(self, folder: Path) -> None:
        import torch

        arrays = read_weights(folder)
        encoding = RowEncoding.from_arrays(
            self.settings.scaling,
            below("encoding", arrays),
            len(self.task.features),
            len(self.task.categories),
            self.settings.encoded_bins,
        )
        with torch.random.fork_rng(devices=[]):
            forecaster = self.module(encoding)
        put_weights(forecaster, arrays, folder)
        self.encoding, self.forecaster = encoding, forecaster.eval()

    def _fitted(self) -> tuple[RowEncoding, RowForecaster]:
        if self.encoding is None or self.forecaster is None:
            raise RuntimeError("this network was neither fitted nor loaded")
        return self.encoding, self.forecaster

    def _batches(self, samples: Samples, encoding: RowEncoding) -> RowBatches:
        self._check_samples(samples)
        return row_batches(samples, encoding, self.task.feature_positions, self.reach)

    def _check_samples(self, samples: Samples) -> None:
        if samples.columns != self.task.columns:
            raise ValueError(
                f"samples have columns {list(samples.columns)}; the model was made for {list(self.task.columns)}, in that order"
            )
        count = self.codes(samples.take(np.arange(0))).shape[1]
        if count != len(self.task.categories):
            raise ValueError(f"samples have {count} categories; the model was made for {list(self.task.categories)}")

    def _part(self, samples: Samples, encoding: RowEncoding) -> Part:
        # late: loads pytorch_lightning, torch
        from finflow.models.networks.modules.training import Part

        try:
            batches = self._batches(samples, encoding)
        except ValueError as error:
            raise FitFailure(str(error)) from None
        return Part(batches, class_codes(samples, self.task).astype(np.float32)[:, None])


def check_hardware(hardware: Hardware, train: Samples, validation: Samples) -> None:
    """Raises FitFailure: a device would be without a sample, or places of categories would lose digits."""
    if hardware.precision == "bf16-true":
        raise FitFailure("precision bf16-true has too few digits for rows' inputs: take bf16-mixed, or 32-true")
    for name, samples in (("training", train), ("validation", validation)):
        if len(samples) < hardware.devices:
            raise FitFailure(
                f"the {name} part has {len(samples)} samples; a network needs at least one on each of {hardware.devices} devices"
            )


def within_steps(settings: RowNetworkSettings, samples: int) -> Any:
    """The settings with as many epochs as the limit on steps leaves."""
    steps = max(1, round(samples / settings.batch))
    return settings.model_copy(update={"epochs": max(1, min(settings.epochs, settings.steps // steps))})


def begin(forecaster: RowForecaster, train: Part) -> None:
    """Set out from the base rate, and from training rows evenly spread."""
    import torch

    with torch.no_grad():
        forecaster.begin(torch.from_numpy(train.targets))
        chosen = np.linspace(0, len(train) - 1, min(len(train), BEGUN_BY)).astype(np.int64)
        forecaster.begin_rows(torch.from_numpy(train.batches.draw(chosen)))
