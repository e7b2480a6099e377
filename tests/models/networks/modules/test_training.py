"""Training: it learns what is there, keeps the best weights, stops, and fails aloud."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finflow.models.base import Hardware, Model
from finflow.models.errors import FitFailure, FitProcessLost
from finflow.models.networks import batches
from finflow.models.networks.modules import training as training_module
from finflow.models.networks.modules.trainer import strategy_of
from tests.support.models.network_cases import FAMILIES, fit, network, noise, panel, product_of_lags, split
from tests.support.models.scores import crps, unconditional

PLANTED: dict[str, dict[str, Any]] = {
    "dense": {"hidden": [32, 32], "epochs": 30, "batch": 256, "learning_rate": 0.005, "dropout": 0.0, "patience": 30},
    "recurrent": {"hidden": [16], "dense": [], "epochs": 25, "batch": 128, "learning_rate": 0.01, "dropout": 0.0, "patience": 30},
    "cnn": {"channels": 16, "layers": 1, "epochs": 25, "batch": 128, "learning_rate": 0.01, "dropout": 0.0, "patience": 30},
    "gan": {"hidden": 12, "noise": 8, "paths": 64, "epochs": 15, "batch": 128, "learning_rate": 0.01, "patience": 30},
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_finds_a_planted_product_of_lags(name: str) -> None:
    samples, task = panel([product_of_lags(1800, 0.2, seed) for seed in (1, 2)], length=5, horizon=1)
    model = network(name, task, **PLANTED[name])
    fit(model, samples)
    train, _, test = split(samples)
    gain = 1 - crps(model.predict(test), test) / crps(unconditional(train, test, task.levels), test)
    # Knowing the fifth of the variance would give about 12 %.
    assert gain > 0.05


@pytest.mark.parametrize("name", FAMILIES)
def test_finds_changing_volatility(name: str) -> None:
    """Calm and wild spells of a hundred days: intervals must widen and narrow with them."""
    wild = (np.arange(1500) // 100) % 2
    draws = np.random.default_rng(8).standard_normal((2, 1500))
    samples, task = panel(list(draws * np.where(wild, 0.02, 0.005)), length=10, horizon=2)
    changes: dict[str, Any] = {"epochs": 12, "batch": 128, "learning_rate": 0.01, "dropout": 0.0, "patience": 20}
    sizes: dict[str, dict[str, Any]] = {
        "gan": {"hidden": 12, "paths": 200},
        "dense": {"hidden": [32, 32], "epochs": 25},
        "recurrent": {"hidden": [16], "dense": []},
        "cnn": {"channels": 16},
    }
    changes |= sizes[name]
    model = network(name, task, **changes)
    fit(model, samples)
    test = split(samples)[2]
    values = model.predict(test).values
    width = values[:, 0, -1] - values[:, 0, 0]
    when = test.index.row % 1500
    settled = when % 100 >= 10
    ratio = np.median(width[settled & (wild[when] == 1)]) / np.median(width[settled & (wild[when] == 0)])
    assert ratio > 1.8


@pytest.mark.parametrize("loss", ["quantile", "student_t", "mse"])
@pytest.mark.parametrize("predicts", ["change", "level"])
def test_every_loss_covers_about_what_it_promises(loss: str, predicts: str) -> None:
    samples, task = panel(noise(900, 2, seed=4))
    model = network("dense", task, loss=loss, predicts=predicts, epochs=10, dropout=0.0)
    if predicts == "level":  # a level needs the level among what it reads
        model = network("dense", replace(task, features=("__level", "other")), loss=loss, predicts=predicts, epochs=10, dropout=0.0)
    fit(model, samples)
    test = split(samples)[2]
    values = model.predict(test).values
    assert (np.diff(values, axis=2) >= 0).all()
    inside = (test.targets >= values[:, :, 0]) & (test.targets <= values[:, :, -1])
    # A level leaves the range that the network was trained on, which is the tutorials' trouble; a change does not.
    assert inside.mean() > (0.82 if predicts == "change" else 0.2)
    if predicts == "change":
        assert inside.mean() < 0.97


def test_levels_and_changes_are_the_same_question() -> None:
    """A network that answers the level, asked on a panel moved up by a constant, answers the same changes."""
    samples, task = panel(noise(400, 1))
    moved = samples.observations.values.copy()
    moved[:, 3] += 1.0
    higher = replace(samples, observations=replace(samples.observations, values=moved))
    answers = []
    for view in (samples, higher):
        model = network("dense", replace(task, features=("log_return", "__level")), predicts="level", loss="mse", dropout=0.0)
        fit(model, view)
        answers.append(model.predict(view).values)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


def test_best_weights_are_kept_and_patience_ends_the_fit() -> None:
    samples, task = panel(noise(250, 1, seed=3))
    settings: dict[str, Any] = {"hidden": [64, 64], "learning_rate": 0.02, "dropout": 0.0, "schedule": "constant", "batch": 32}
    model = network("dense", task, epochs=200, patience=3, **settings)
    report = fit(model, samples)
    losses = [row["validation_loss"] for row in report.epochs]
    assert len(losses) < 200
    assert report.best_epoch is not None
    assert len(losses) == report.best_epoch + 3
    assert losses[report.best_epoch - 1] == min(losses)
    # as if it had been stopped by hand at the best epoch
    short = network("dense", task, epochs=report.best_epoch, patience=200, **settings)
    fit(short, samples)
    assert np.array_equal(short.predict(samples).values, model.predict(samples).values)


def test_calls_of_several_steps_are_the_same_training(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, task = panel(noise(400))
    answers = []
    for steps in (1, 3, 32):
        monkeypatch.setattr(training_module, "STEPS_A_CALL", steps)
        model = network("dense", task, batch=50)
        fit(model, samples)
        answers.append(model.predict(samples).values)
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


def test_observations_too_large_to_prepare_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, task = panel(noise(300))
    answers = []
    for limit in (batches.PREPARED_BYTES, 10):
        monkeypatch.setattr(batches, "PREPARED_BYTES", limit)
        model = network("cnn", task)
        fit(model, samples)
        answers.append(model.predict(samples).values)
    assert np.array_equal(*answers)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_loss_that_is_not_finite_stops_the_fit(name: str) -> None:
    samples, task = panel(noise(300))
    broken = samples.targets.copy()
    broken[5] = 3e38
    changes: dict[str, Any] = {"scaling": "none", "epochs": 3}
    if name != "gan":
        changes["loss"] = "mse"
    train, validation, _ = split(replace(samples, index=replace(samples.index, target=broken)))
    model = network(name, task, **changes)
    with pytest.raises(FitFailure, match=r"not finite|loss is"):
        model.fit(train, validation, seed=1, hardware=Hardware())
    with pytest.raises(RuntimeError, match="neither fitted"):
        model.predict(samples)


def test_a_fit_leaves_the_process_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    environment = dict(os.environ)
    threads, algorithms = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    samples, task = panel(noise(300))
    fit(network("dense", task), samples)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (threads, algorithms)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.random.get_rng_state(), states[2])
    assert dict(os.environ) == environment
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        (Hardware(accelerator="abacus"), "abacus"),
        (Hardware(precision="8-true"), "8-true"),
        (Hardware(precision="16-mixed"), "bf16-mixed"),
        (Hardware(strategy="telepathy"), "hardware"),
        (Hardware(devices=0), "devices 0"),
    ],
)
def test_hardware_that_is_not_there_is_named(hardware: Hardware, message: str) -> None:
    samples, task = panel(noise(300))
    with pytest.raises(FitFailure, match=message):
        fit(network("dense", task), samples, hardware=hardware)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_named() -> None:
    samples, task = panel(noise(300))
    with pytest.raises(FitFailure, match="accelerator cuda"):
        fit(network("dense", task), samples, hardware=Hardware(accelerator="cuda"))


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_other_precisions(precision: str) -> None:
    samples, task = panel(noise(300))
    answers: list[Model] = []
    for _ in range(2):
        answers.append(network("dense", task))
        report = fit(answers[-1], samples, hardware=Hardware(precision=precision))
        assert all(np.isfinite(row["train_loss"]) for row in report.epochs)
    found = [model.predict(samples).values for model in answers]
    assert found[0].dtype == np.float32
    assert np.array_equal(*found)


def test_strategies() -> None:
    assert strategy_of(Hardware()) == "auto"
    assert strategy_of(Hardware(devices=2)).startswith("ddp_fork")
    assert strategy_of(Hardware(devices=2, strategy="ddp")).startswith("ddp_fork")
    assert strategy_of(Hardware(devices=2, strategy="ddp", threads=2)).startswith("ddp_spawn")
    assert strategy_of(Hardware("cuda", devices=2, strategy="ddp")).startswith("ddp_spawn")
    assert strategy_of(Hardware(devices=2, strategy="fsdp")) == "fsdp"


@pytest.mark.parametrize("batch", [128, 7])
@pytest.mark.parametrize("name", FAMILIES)
def test_several_processes_train_as_one(name: str, batch: int) -> None:
    """The same steps over the same batches with the same dropout and noise, split: the same weights and forecasts but for rounding.

    In batches of 7 the shares of two devices differ.
    """
    samples, task = panel(noise(300))
    one, two = (network(name, task, dropout=0.2, batch=batch) for _ in range(2))
    alone, together = fit(one, samples), fit(two, samples, hardware=Hardware(devices=2))
    assert together.best_epoch == alone.best_epoch
    for left, right in zip(alone.epochs, together.epochs, strict=True):
        assert right == pytest.approx(left, rel=1e-5)
    weights = zip(*(model.forecaster.state_dict().items() for model in (one, two)), strict=True)  # type: ignore[attr-defined]
    for (key, left), (_, right) in weights:
        torch.testing.assert_close(right, left, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
    values = one.predict(samples).values
    np.testing.assert_allclose(two.predict(samples).values, values, atol=1e-5 * float(values.std()))


def test_more_devices_than_samples_in_a_batch() -> None:
    samples, task = panel(noise(60))
    one, three = (network("dense", task, batch=1) for _ in range(2))
    fit(one, samples)
    fit(three, samples, hardware=Hardware(devices=3))
    np.testing.assert_allclose(three.predict(samples).values, one.predict(samples).values, atol=1e-7)


def test_all_devices_stop_at_the_same_epoch() -> None:
    samples, task = panel(noise(250, 1, seed=3))
    reports = []
    for devices in (1, 2):
        model = network("dense", task, epochs=200, patience=3, hidden=[64, 64], learning_rate=0.02, schedule="constant", batch=32)
        reports.append(fit(model, samples, hardware=Hardware(devices=devices)))
    assert len(reports[0].epochs) < 200
    assert [report.best_epoch for report in reports] == [reports[0].best_epoch] * 2
    assert [len(report.epochs) for report in reports] == [len(reports[0].epochs)] * 2


def test_a_loss_that_is_not_finite_stops_all_devices() -> None:
    samples, task = panel(noise(300))
    broken = samples.targets.copy()
    broken[5] = 3e38
    train, validation, _ = split(replace(samples, index=replace(samples.index, target=broken)))
    with pytest.raises(FitFailure, match=r"^the train loss is not finite in epoch 1"):
        network("dense", task, scaling="none", loss="mse").fit(train, validation, seed=1, hardware=Hardware(devices=2))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_named_and_the_others_end(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, task = panel(noise(300))
    learn = training_module.Training.learn

    def dying(self: training_module.Training, windows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.global_rank == rank and self._taken == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return learn(self, windows, targets)

    monkeypatch.setattr(training_module.Training, "learn", dying)
    began = time.monotonic()
    with pytest.raises(FitProcessLost, match=rf"the process of rank {rank}, one of 2 that trained together, was ended by SIGKILL"):
        fit(network("dense", task), samples, hardware=Hardware(devices=2))
    assert time.monotonic() - began < 45
    assert multiprocessing.active_children() == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: there is none")
@pytest.mark.parametrize("name", FAMILIES)
def test_a_gpu_gives_the_same_bits_twice(name: str) -> None:
    samples, task = panel(noise(400))
    answers = []
    for _ in range(2):
        model = network(name, task)
        fit(model, samples, hardware=Hardware(accelerator="gpu"))
        answers.append(model.predict(samples).values)
    assert np.array_equal(*answers)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices: there are fewer")
@pytest.mark.parametrize("name", FAMILIES)
def test_two_gpus_train_as_one(name: str) -> None:
    samples, task = panel(noise(400))
    answers = []
    for devices in (1, 2):
        model = network(name, task, batch=7)
        fit(model, samples, hardware=Hardware("cuda", devices=devices, strategy="ddp"))
        answers.append(model.predict(samples).values)
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-3 * float(answers[0].std()))
