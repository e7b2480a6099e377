"""What all networks share: scaling, training by Lightning, prediction in batches of one shape, and how they are saved."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from finflow.models.augmentation import Augmentation, AugmentationVerdict
from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from finflow.models.errors import FitFailure
from finflow.models.networks.augmentation_trial import try_augmentation
from finflow.models.networks.batches import Batches, check_samples, prepare
from finflow.models.networks.learnt import Learnt, learnt
from finflow.models.networks.network_settings import NetworkSettings, TrainingSettings
from finflow.models.networks.scaling import Scaling, fit_scaling
from finflow.models.reading import labelled_together
from finflow.models.reproducible import one_thread_count, reproducible
from finflow.models.samples import Samples
from finflow.models.variances.har_regression import CONTEXT, HarRegression
from finflow.models.variances.variance import check_variances, with_variances
from finflow.models.weights import below, put_weights, read_weights, write_weights

if TYPE_CHECKING:
    from finflow.models.networks.modules.forecaster import Forecaster
    from finflow.models.networks.modules.training import Part, Training
    from finflow.models.networks.modules.window_generator import Source

#: Every forward pass of `predict` has so many rows, the last one padded: kernels are chosen by shape, so bits would depend on the count.
#: A multiple of 96: MKL multiplies tiles of 48 rows (AVX-512; 24, 16 or 6 elsewhere), and rounds the rows left over otherwise.
PREDICTION_ROWS = 480


class Network(Model):
    """A model trained by gradient steps. A subclass gives its module; it answers quantiles, or variances or probabilities where the problem
    asks for them.

    Variances, and their quantiles, are learnt as logarithms; with `residual`, as those of a factor on the forecast of a regression that was
    fitted first, on the training and the validation part as it is when it stands alone. By QLIKE the network is that regression before the
    first step, to the bit.

    With `augmentation` a trial on the training and the validation part comes first, and generated samples are used only if it says so; a
    refusal leaves the fit as it would be without the option, to the bit.

    Predictions are made on the CPU by one thread, so that they are the same bits in every process.
    """

    seeded: ClassVar[bool] = True
    accelerated: ClassVar[bool] = True
    settings: TrainingSettings

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.scaling: Scaling | None = None
        self.forecaster: Forecaster | None = None
        self.base: HarRegression | None = None

    @property
    def context(self) -> int:
        return self.task.length if self._residual == "none" else max(self.task.length, CONTEXT)

    @property
    def _learnt(self) -> Learnt:
        return learnt(self.task)

    @property
    def _residual(self) -> str:
        return self.settings.residual

    @property
    def _augmentation(self) -> Augmentation | None:
        return self.settings.augmentation if isinstance(self.settings, NetworkSettings) else None

    @abstractmethod
    def module(self) -> Forecaster:
        """A new network for the settings and the task, with random weights."""

    def training(self, forecaster: Forecaster, train: Part, validation: Part, seed: int) -> Training:
        """The Lightning module that fits it."""
        # late: loads pytorch_lightning, torch
        from finflow.models.networks.modules.training import Training

        return Training(forecaster, self.settings, train, validation, seed)

    def source(self, train: Part, steps: int) -> Source:
        """A generator of training samples, fitted on the training part alone.

        The seed is fixed, so all fits of a fold have the same. With `residual` its targets are what the regression leaves of the training
        part's, and that regression has seen the validation part, as ever.
        """
        # late: loads pytorch_lightning, torch
        from finflow.models.networks.modules.window_training import fit_generator

        return fit_generator(train, len(self.task.classes), steps, seed=0)

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        # late: loads pytorch_lightning, torch
        from finflow.models.networks.modules.training import Part

        self.check_task()
        for name, samples in (("training", train), ("validation", validation)):
            check_samples(samples, self.task)
            if len(samples) < hardware.devices:
                raise FitFailure(
                    f"the {name} part has {len(samples)} samples; a network needs at least one on each of {hardware.devices} devices"
                )
        if self._residual != "none":
            self.base = HarRegression.fit(self._residual, with_variances(labelled_together(train, validation), self.task), self.task)
        targets = self._targets(train)
        scaling = fit_scaling(self.settings.scaling, train, self.task, targets, scale_targets=self._learnt.scaled)
        ready = prepare(train, scaling, self.task)
        same = ready if validation.observations is train.observations else prepare(validation, scaling, self.task)
        parts = {
            "train": Part(Batches(train, scaling, self.task, prepared=ready), scaling.targets(targets)),
            "validation": Part(Batches(validation, scaling, self.task, prepared=same), scaling.targets(self._targets(validation))),
        }
        notes: dict[str, Any] = {"training_samples": len(train), "validation_samples": len(validation)}
        source = None
        if self._augmentation is not None:
            source, verdict = self._try_augmentation(self._augmentation, parts, validation, hardware)
            notes["augmentation"] = verdict.notes(self._augmentation)
        training = self._train(parts, seed, hardware, source)
        self.scaling, self.forecaster = scaling, training.forecaster
        return FitReport(
            epochs=training.epochs_done(),
            best_epoch=int(training.best) + 1,
            parameters=sum(parameter.numel() for parameter in self.forecaster.parameters()),
            notes={**notes, "steps_an_epoch": training.steps},
        )

    def _train(self, parts: dict[str, Part], seed: int, hardware: Hardware, source: Source | None) -> Training:
        """Train a new network, with generated samples where there is a source of them."""
        # late: loads pytorch_lightning, torch
        from finflow.models.networks.modules.augmented_training import AugmentedTraining

        # late: loads lightning_fabric, pytorch_lightning, torch
        from finflow.models.networks.modules.trainer import run_training

        train, validation = parts["train"], parts["validation"]
        with reproducible(seed, hardware.threads):
            forecaster = self.module()
            _begin(forecaster, train)
            if source is None or self._augmentation is None:
                training = self.training(forecaster, train, validation, seed)
            else:
                training = AugmentedTraining(forecaster, self.settings, train, validation, seed, source, self._augmentation.share)
            run_training(training, hardware)
            _finish(forecaster.eval(), validation)
        return training

    def _try_augmentation(
        self, settings: Augmentation, parts: dict[str, Part], validation: Samples, hardware: Hardware
    ) -> tuple[Source | None, AugmentationVerdict]:
        """The trial runs on one device: the size of a step does not depend on their number, so what helps on one helps on several."""
        alone = replace(hardware, devices=1, strategy="auto")

        def make() -> Source:
            with reproducible(0, hardware.threads):
                return self.source(parts["train"], settings.steps)

        def train(seed: int, source: Source | None) -> Forecaster:
            return self._train(parts, seed, alone, source).forecaster

        return try_augmentation(settings, make, train, parts["validation"], validation.index)

    def predict(self, samples: Samples) -> Prediction:
        """Quantiles, float32, [n, outputs, levels]; or variances, float32, [n, outputs]; or probabilities, float32, [n, classes].

        Raises:
            ValueError: a window holds a value that is not finite (the message names the sample and the column), or the samples do not fit
                the task.
            RuntimeError: the model was neither fitted nor loaded.
        """
        import torch

        if self.scaling is None or self.forecaster is None:
            raise RuntimeError("this network was neither fitted nor loaded")
        check_samples(samples, self.task)
        batches = Batches(samples, self.scaling, self.task, prepared=prepare(samples, self.scaling, self.task))
        count = len(samples)
        values = np.empty((count, self.task.outputs, self._learnt.width(self.task)), dtype=np.float32)
        begun = self._start(samples)
        with one_thread_count(1), torch.inference_mode():
            for start in range(0, count, PREDICTION_ROWS):
                stop = min(start + PREDICTION_ROWS, count)
                padded = np.minimum(np.arange(start, start + PREDICTION_ROWS), count - 1)
                windows = torch.from_numpy(batches.draw(padded))
                scaled = self.forecaster.quantiles(self.forecaster(windows)).numpy()
                answers = self.scaling.answers(scaled[: stop - start])
                values[start:stop] = self._learnt.inverted(answers if begun is None else answers + begun[start:stop, :, None])
        if not np.isfinite(values).all():
            raise ValueError(self._what_is_wrong(samples, values))
        return self._learnt.prediction(values, self.task)

    def save(self, folder: Path) -> None:
        if self.scaling is None or self.forecaster is None:
            raise RuntimeError("this network was neither fitted nor loaded")
        beside = {f"scaling.{name}": array for name, array in self.scaling.arrays().items()}
        beside |= {f"residual.{name}": array for name, array in (self.base.state() if self.base else {}).items()}
        write_weights(folder, self.forecaster, beside)

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Self:
        """Raises ValueError: the weights are absent, damaged, or of another network than the settings and the task describe."""
        import torch

        arrays = read_weights(folder)
        model = cls(settings, task)
        model.scaling = Scaling.from_arrays(below("scaling", arrays), task)
        if model._residual != "none":
            model.base = HarRegression.from_state(model._residual, below("residual", arrays))
        with torch.random.fork_rng(devices=[]):
            forecaster = model.module()
        put_weights(forecaster, arrays, folder)
        model.forecaster = forecaster.eval()
        return model

    def check_task(self) -> None:
        loss = self.settings.loss if isinstance(self.settings, NetworkSettings) else ""
        if loss == "qlike":
            check_variances(self.task, "a network with `loss: qlike`")
        elif self._residual != "none":
            check_variances(self.task, f"a network with `residual: {self._residual}`")
        self._learnt.check(loss, type(self).__name__, self.settings, self.task)

    def _start(self, samples: Samples) -> NDArray[np.float64] | None:
        """What the network's answers are added to; None: nothing.

        Of variances and their quantiles float64, [n, outputs]: the logarithm of the regression's forecast, nought without `residual`. Where
        the network answers the level that a change ends at, float64, [n, 1]: the level that it starts from, taken away.
        """
        if self.task.log_variance is not None:
            return np.zeros((len(samples), self.task.outputs)) if self.base is None else self.base.log_forecast(samples, self.task)
        if self.settings.predicts == "change" or self.task.level is None:
            return None
        levels = samples.observations.values[samples.own_places, samples.column(self.task.level)]
        return -np.asarray(levels, dtype=np.float64)[:, None]

    def _targets(self, samples: Samples) -> NDArray[np.float64]:
        return self._learnt.targets(samples, self.task, self._start(samples))

    def _what_is_wrong(self, samples: Samples, values: NDArray[np.float32]) -> str:
        first = int(np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))[0])
        window = samples.gather(np.array([first]))[0]
        bad = [name for name in self.task.columns if not np.isfinite(window[:, samples.column(name)]).all()]
        where = f"holds values that are not finite in {bad}" if bad else "gives an answer that is not finite"
        return f"sample {first} of {len(samples)} {where}; a network needs every value of its window"


def _begin(forecaster: Forecaster, train: Part) -> None:
    import torch

    with torch.no_grad():
        forecaster.begin(torch.from_numpy(train.targets))


def _finish(forecaster: Forecaster, validation: Part) -> None:
    """Let the head fit what is left, from the outputs for the whole validation part."""
    import torch

    with torch.no_grad():
        starts = range(0, len(validation), PREDICTION_ROWS)
        positions = [np.arange(start, min(start + PREDICTION_ROWS, len(validation))) for start in starts]
        outputs = [forecaster(torch.from_numpy(validation.batches.draw(chosen))) for chosen in positions]
        forecaster.finish(torch.cat(outputs), torch.from_numpy(validation.targets))
