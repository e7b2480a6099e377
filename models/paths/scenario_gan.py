"""Scenarios: paths of returns drawn by a generator that was trained against a critic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from finflow.models.paths.paths import (
    LARGEST_STEP,
    check_paths,
    drawn_in_parts,
    generators,
    long_run_deviation,
    past_increments,
    training_series,
)
from finflow.models.paths.scenario_segments import scenario_part, steps_before
from finflow.models.paths.scenario_settings import ScenarioGanSettings
from finflow.models.reproducible import one_thread_count, reproducible
from finflow.models.samples import Float64, Samples
from finflow.models.weights import below, put_weights, read_weights, write_weights

if TYPE_CHECKING:
    from finflow.models.paths.modules.scenario import ScenarioGenerator

#: Samples whose paths are drawn together, the last of them padded: kernels are chosen by shape, so bits would depend on the count.
TOGETHER = 16


class ScenarioGan(Model):
    """An adversarial generator of return paths with the stylised facts, after QuantGAN (Wiese, Knobloch, Korn and Kretschmer 2020).

    It learns from stretches of `segment` increments of every entity's training part, standardised by the entity's deviation. Asked about a
    sample, it finds the shocks that the past increments stand for and goes on from there with drawn ones.
    """

    Settings: ClassVar[type[ModelSettings]] = ScenarioGanSettings
    family: ClassVar[str] = "gan"
    seeded: ClassVar[bool] = True

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.generator: ScenarioGenerator | None = None
        self.state: dict[str, Float64] = {}

    @property
    def context(self) -> int:
        settings = self._settings
        return max(self.task.length, settings.context, settings.filter)

    @property
    def _settings(self) -> ScenarioGanSettings:
        return cast(ScenarioGanSettings, self.settings)

    def check_task(self) -> None:
        check_paths(self.task, type(self).__name__)
        steps_before(self._settings, self.task)

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        # late: loads lightning_fabric, pytorch_lightning, torch
        from finflow.models.networks.modules.trainer import run_training

        # late: loads torch
        from finflow.models.paths.modules.scenario import ScenarioGenerator

        # late: loads pytorch_lightning, torch
        from finflow.models.paths.modules.scenario_training import ScenarioTraining

        self.check_task()
        series = training_series(train, self.task)
        deviations = {entity: float(values.std()) for entity, values in series.items()}
        pooled = float(np.sqrt(np.mean([values.var() for values in series.values()])))
        parts = [scenario_part(part, self.task, self._settings, deviations, pooled) for part in (train, validation)]
        with reproducible(seed, hardware.threads):
            generator = ScenarioGenerator(self._settings)
            training = ScenarioTraining(generator, self._settings, self.task, parts[0], parts[1], seed)
            run_training(training, hardware)
        self.generator = generator.eval()
        self.state = {"deviation": np.array([pooled]), "seed": np.array([float(seed)])}
        return FitReport(
            epochs=training.epochs_done(),
            best_epoch=int(training.best) + 1,
            parameters=sum(parameter.numel() for parameter in generator.parameters()),
            notes={
                "training_samples": len(train),
                "validation_samples": len(validation),
                "steps_an_epoch": training.steps,
                **training.notes(),
            },
        )

    def predict(self, samples: Samples) -> Prediction:
        """Paths, float32, [n, task.paths, outputs].

        Raises:
            RuntimeError: the model was neither fitted nor loaded.
            ValueError: a path is not finite.
        """
        if self.generator is None:
            raise RuntimeError("this model was neither fitted nor loaded")
        return drawn_in_parts(samples, self.task, self._steps)

    def save(self, folder: Path) -> None:
        if self.generator is None:
            raise RuntimeError("this model was neither fitted nor loaded")
        write_weights(folder, self.generator, {f"state.{name}": array for name, array in self.state.items()})

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Self:
        """Raises ValueError: the weights are absent, damaged, or of another network than the settings describe."""
        import torch

        # late: loads torch
        from finflow.models.paths.modules.scenario import ScenarioGenerator

        arrays = read_weights(folder)
        model = cls(settings, task)
        model.state = below("state", arrays)
        if set(model.state) != {"deviation", "seed"}:
            raise ValueError(f"{folder} lacks the deviation or the seed of its draws")
        with torch.random.fork_rng(devices=[]):
            generator = ScenarioGenerator(model._settings)
        put_weights(generator, arrays, folder)
        model.generator = generator.eval()
        return model

    def _steps(self, samples: Samples) -> Float64:
        """Increments, float64, [n, paths, outputs]."""
        past = past_increments(samples, self.task, self.context)
        deviation = long_run_deviation(past[:, -self._settings.context :], float(self.state["deviation"][0]))
        seed, shape = int(self.state["seed"][0]), (self.task.paths, self.task.outputs)
        standardised = (past[:, -self._settings.filter :] / deviation[:, None]).astype(np.float32)
        shocks = np.stack([generator.standard_normal(shape, dtype=np.float32) for generator in generators(past, seed)])
        drawn = np.concatenate(
            [
                self._draw(standardised[start : start + TOGETHER], shocks[start : start + TOGETHER])
                for start in range(0, len(standardised), TOGETHER)
            ]
        )
        if not np.isfinite(drawn).all():
            raise ValueError("a drawn path is not finite: the generator's weights are damaged, or its training ran away")
        return np.clip(drawn, -LARGEST_STEP, LARGEST_STEP) * deviation[:, None, None]

    def _draw(self, standardised: NDArray[np.float32], shocks: NDArray[np.float32]) -> Float64:
        """Standardised steps after known ones [n, filter] by shocks [n, paths, outputs], n at most TOGETHER."""
        import torch

        assert self.generator is not None
        count, paths, outputs = shocks.shape
        rows = np.minimum(np.arange(TOGETHER), count - 1)
        steps = np.empty((TOGETHER, paths, outputs))
        with one_thread_count(1), torch.inference_mode():
            state = self.generator.start(TOGETHER)
            for returns in torch.from_numpy(standardised[rows]).unbind(1):
                self.generator.observe(state, returns)
            state = state.repeated(paths)
            noise = torch.from_numpy(shocks[rows].reshape(TOGETHER * paths, outputs))
            for step in range(outputs):
                steps[:, :, step] = self.generator.follow(state, noise[:, step]).numpy().reshape(TOGETHER, paths)
        return steps[:count]
