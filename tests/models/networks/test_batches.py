"""Batches against the plain gather."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finflow.models.base import Task
from finflow.models.networks import batches as module
from finflow.models.networks.batches import Batches, prepare
from finflow.models.networks.scaling import Scaling, fit_scaling
from finflow.models.samples import Samples
from tests.support.models.network_cases import noise, panel


@pytest.fixture
def data() -> tuple[Samples, Task, Scaling]:
    samples, task = panel(noise(200, 3))
    return samples, task, fit_scaling("standard", samples, task, samples.targets.astype(np.float64))


@pytest.mark.parametrize(
    "features", [("log_return", "other"), ("log_return", "__increment"), ("other",), ("log_return", "__increment", "other", "__level")]
)
def test_drawn_windows_are_the_gathered_ones_scaled(data: tuple[Samples, Task, Scaling], features: tuple[str, ...]) -> None:
    samples, task, _ = data
    task = replace(task, features=features)
    scaling = fit_scaling("standard", samples, task, samples.targets.astype(np.float64))
    positions = np.random.default_rng(0).integers(0, len(samples), 40)
    plain = samples.gather(positions)[:, :, task.feature_positions]
    expected = np.clip((plain - scaling.feature_location) * scaling.feature_inverse, -10, 10)
    drawn = Batches(samples, scaling, task).draw(positions)
    np.testing.assert_array_equal(drawn, expected)
    ahead = Batches(samples, scaling, task, prepared=prepare(samples, scaling, task)).draw(positions)
    np.testing.assert_array_equal(ahead, expected)
    assert drawn.dtype == ahead.dtype == np.float32
    assert drawn.flags.c_contiguous


def test_drawing_leaves_the_observations_alone(data: tuple[Samples, Task, Scaling]) -> None:
    samples, task, scaling = data
    before = samples.observations.values.copy()
    prepare(samples, scaling, task)
    Batches(samples, scaling, task).draw(np.arange(50))
    assert np.array_equal(samples.observations.values, before)


def test_memory_mapped_observations(data: tuple[Samples, Task, Scaling], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, task, scaling = data
    np.save(tmp_path / "values.npy", samples.observations.values)
    mapped = replace(samples, observations=replace(samples.observations, values=np.load(tmp_path / "values.npy", mmap_mode="r")))
    expected = Batches(samples, scaling, task).draw(np.arange(30))
    assert np.array_equal(Batches(mapped, scaling, task).draw(np.arange(30)), expected)
    monkeypatch.setattr(module, "PREPARED_BYTES", 100)
    assert prepare(mapped, scaling, task) is None


def test_doubles_are_refused(data: tuple[Samples, Task, Scaling]) -> None:
    samples, task, scaling = data
    doubled = replace(samples, observations=replace(samples.observations, values=samples.observations.values.astype(np.float64)))
    with pytest.raises(ValueError, match="float32"):
        Batches(doubled, scaling, task)
