"""Autoencoder: a row that is hard to give back from a few numbers is unlike the training part. It is fitted without the classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Contributions, FitReport, Hardware, ModelSettings, Task
from finflow.models.errors import FitFailure
from finflow.models.networks.network import PREDICTION_ROWS
from finflow.models.reproducible import one_thread_count
from finflow.models.row_networks.row_encoding import RowEncoding
from finflow.models.row_networks.row_network import RowNetwork
from finflow.models.row_networks.row_settings import AutoencoderSettings
from finflow.models.samples import Float32, Samples
from finflow.models.weights import below, read_weights, write_weights

if TYPE_CHECKING:
    from finflow.models.networks.modules.training import Part
    from finflow.models.row_networks.modules.autoencoder import RowAutoencoder
    from finflow.models.row_networks.modules.row_training import RowTraining


class Autoencoder(RowNetwork):
    """The score is the error with which a row is given back; the calibration alone learns from the classes what it is worth.

    Trained on rows some of whose parts are hidden (models/row_networks/modules/autoencoder.py), so that it can also fill in what is missing
    (`impute`), and say a row in few numbers (`reduced`).
    """

    Settings: ClassVar[type[ModelSettings]] = AutoencoderSettings
    family: ClassVar[str] = "autoencoder"
    supervised: ClassVar[bool] = False
    settings: AutoencoderSettings

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.usual = 1.0  # the median error over training rows

    def check_task(self) -> None:
        super().check_task()
        if self.settings.calibration.method == "none":
            raise FitFailure("the error of an autoencoder is no probability: set calibration.method to platt or isotonic")

    def module(self, encoding: RowEncoding) -> RowAutoencoder:
        # late: loads pytorch_lightning, torch
        from finflow.models.row_networks.modules.autoencoder import RowAutoencoder

        settings = self.settings
        inputs = self.inputs(encoding, scale=False)
        return RowAutoencoder(inputs, settings.hidden, settings.reduced, encoding.signed.tolist(), settings.dropout)

    def training_kind(self) -> type[RowTraining]:
        # late: loads pytorch_lightning, torch
        from finflow.models.row_networks.modules.autoencoder import DenoisingTraining

        return DenoisingTraining

    def fit_rows(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        report = super().fit_rows(train, validation, seed=seed, hardware=hardware)
        self.usual = max(float(np.median(self.errors(train))), 1e-12)
        return report

    def raw_probability(self, samples: Samples) -> NDArray[np.float64]:
        """float64, [n]: e / (e + u) of the error e and the usual one u, whose log odds are log(e / u): 1/2 for a usual row."""
        error = self.errors(samples).astype(np.float64)
        return error / (error + self.usual)

    def errors(self, samples: Samples) -> Float32:
        """float32, [n]: the error with which each row is given back."""
        return self._asked(samples, 0)[:, 0]

    def reduced(self, samples: Samples) -> Float32:
        """float32, [n, reduced]: the numbers in the bottleneck."""
        return self._asked(samples, 1)

    def impute(self, samples: Samples) -> Float32:
        """float32, [n, features]: raw numbers, those that are missing filled in from the rest of their rows."""
        encoding, _ = self._fitted()
        numbers = self.numbers(samples)
        return np.where(np.isnan(numbers), encoding.raw(self._asked(samples, 2)), numbers).astype(np.float32)

    def contributions(self, samples: Samples) -> Contributions | None:
        """None: an error is no sum of parts that speak for a class."""
        return None

    def save_rows(self, folder: Path) -> None:
        encoding, forecaster = self._fitted()
        arrays = {f"encoding.{name}": array for name, array in encoding.arrays().items()}
        write_weights(folder, forecaster, {**arrays, "usual.error": np.array([self.usual])})

    def load_rows(self, folder: Path) -> None:
        super().load_rows(folder)
        self.usual = float(below("usual", read_weights(folder))["error"][0])

    def _asked(self, samples: Samples, what: int) -> Float32:
        """Errors [n, 1], the bottleneck [n, reduced], or scaled numbers [n, features], in batches of one shape."""
        import torch

        encoding, forecaster = self._fitted()
        network = cast("RowAutoencoder", forecaster)
        batches, count = self._batches(samples, encoding), len(samples)
        parts = [np.zeros((0, (1, self.settings.reduced, len(self.task.features))[what]), dtype=np.float32)]
        with one_thread_count(1), torch.inference_mode():
            for start in range(0, count, PREDICTION_ROWS):
                rows = torch.from_numpy(batches.draw(np.minimum(np.arange(start, start + PREDICTION_ROWS), count - 1)))
                if what == 1:
                    answer = network.reduced(rows)
                else:
                    output = network(rows)
                    answer = network.errors(output, rows[:, -1])[:, None] if what == 0 else output[:, : len(self.task.features)]
                parts.append(answer.numpy()[: min(PREDICTION_ROWS, count - start)])
        return np.concatenate(parts)

    def _part(self, samples: Samples, encoding: RowEncoding) -> Part:
        # late: loads pytorch_lightning, torch
        from finflow.models.networks.modules.training import Part

        part = super()._part(samples, encoding)
        return Part(part.batches, part.batches.draw(np.arange(len(samples)))[:, -1])
