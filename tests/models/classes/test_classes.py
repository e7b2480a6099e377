"""Models of classes: base rate, majority, logistic regression against scikit-learn, networks with cross-entropy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

from finflow.models.base import Hardware, Model, Task
from finflow.models.ensemble import average
from finflow.models.errors import FitFailure
from finflow.models.networks.modules.cnn import PooledBody
from finflow.models.networks.modules.heads import ClassHead
from finflow.models.samples import Samples, from_windows
from finflow.models.saving import load_model, save_model
from finflow.models.zoo import model_class
from tests.support.models.class_cases import class_panel
from tests.support.models.network_cases import network, split

FAMILIES = ("cnn", "dense", "recurrent")
POOLED = {"pool": 2, "dense": [6, 4], "layers": 1}


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    return class_panel()


def trained(name: str, data: tuple[Samples, Task], seed: int = 1, **settings: Any) -> Model:
    train, validation, _ = split(data[0])
    if name in FAMILIES:
        model = network(name, data[1], loss="cross_entropy", **settings)
    else:
        model = model_class(name)(model_class(name).Settings.model_validate(settings), data[1])
    model.fit(train, validation, seed=seed, hardware=Hardware())
    return model


def log_loss(model: Model, samples: Samples) -> float:
    codes = samples.targets[:, 0].astype(int)
    return float(-np.log(model.predict(samples).values.astype(np.float64)[np.arange(len(codes)), codes]).mean())


@pytest.mark.parametrize(
    ("name", "settings"),
    [*((name, {}) for name in FAMILIES), ("cnn", POOLED), ("logistic", {"last": 2}), ("class_frequency", {}), ("majority", {})],
)
@pytest.mark.parametrize("classes", [("down", "up"), ("down", "flat", "up")])
def test_saved_served_and_seeded(name: str, settings: dict[str, Any], classes: tuple[str, ...], tmp_path: Path) -> None:
    samples, task = class_panel(classes)
    model = trained(name, (samples, task), **settings)
    whole = model.predict(samples)
    assert (whole.kind, whole.values.shape) == ("probabilities", (len(samples), len(classes)))
    np.testing.assert_allclose(whole.values.sum(axis=1), 1.0, rtol=1e-6)
    assert (whole.values >= 0).all()
    save_model(model, tmp_path / "model")
    assert not list(tmp_path.rglob("*.pkl"))
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(samples).values, whole.values)
    np.testing.assert_array_equal(loaded.predict(samples.take(np.arange(3))).values, whole.values[:3])
    windows = from_windows(samples.gather(length=loaded.context), task.columns, task.length, task.outputs)
    np.testing.assert_array_equal(loaded.predict(windows).values, whole.values)
    np.testing.assert_array_equal(trained(name, (samples, task), **settings).predict(samples).values, whole.values)


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in FAMILIES), ("cnn", POOLED), ("logistic", {})])
def test_learns_what_a_feature_tells(name: str, settings: dict[str, Any], data: tuple[Samples, Task]) -> None:
    _, _, test = split(data[0])
    if name in FAMILIES:
        settings = {**settings, "epochs": 25, "learning_rate": 0.01, "dropout": 0.0, "patience": 25}
    assert log_loss(trained(name, data, **settings), test) < 0.85 * log_loss(trained("class_frequency", data), test)


def test_frequency_and_majority(data: tuple[Samples, Task]) -> None:
    samples, _ = data
    train, validation, _ = split(samples)
    codes = np.concatenate([train.targets[:, 0], validation.targets[:, 0]])
    expected = [(codes == number).mean() for number in range(3)]
    np.testing.assert_allclose(trained("class_frequency", data).predict(samples).values[0], expected, rtol=1e-6)
    found = trained("majority", data).predict(samples).values[0]
    assert found.argmax() == int(np.argmax(expected))
    assert sorted(found) == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("classes", [("down", "up"), ("down", "flat", "up")])
def test_logistic_is_scikit_learns(classes: tuple[str, ...]) -> None:
    samples, task = class_panel(classes)
    train, validation, test = split(samples)
    model = trained("logistic", (samples, task), c=0.01, last=3)
    together = np.concatenate([part.gather(length=3)[:, :, task.feature_positions].reshape(len(part), -1) for part in (train, validation)])
    together = together.astype(np.float64)
    mean, deviation = together.mean(axis=0), together.std(axis=0)
    codes = np.concatenate([train.targets[:, 0], validation.targets[:, 0]])
    expected = LogisticRegression(C=0.01, max_iter=500).fit((together - mean) / deviation, codes)
    asked = test.gather(length=3)[:, :, task.feature_positions].reshape(len(test), -1).astype(np.float64)
    np.testing.assert_allclose(model.predict(test).values, expected.predict_proba((asked - mean) / deviation), rtol=1e-4)


def test_noise_is_shrunk_to_the_base_rate() -> None:
    samples, task = class_panel()
    shuffled = np.random.default_rng(3).permutation(samples.index.target)
    data = (replace(samples, index=replace(samples.index, target=shuffled)), task)
    _, _, test = split(data[0])
    assert log_loss(trained("logistic", data), test) < 1.02 * log_loss(trained("class_frequency", data), test)


def test_probabilities_are_averaged_as_they_are(data: tuple[Samples, Task]) -> None:
    parts = [trained(name, data).predict(data[0]) for name in ("dense", "class_frequency")]
    expected = np.mean([part.values.astype(np.float64) for part in parts], axis=0)
    np.testing.assert_allclose(average(parts).values, expected, rtol=1e-6)


def test_the_head_starts_near_the_base_rate() -> None:
    torch.manual_seed(0)
    head = ClassHead(4, 3)
    codes = torch.tensor([[0.0], [1.0], [1.0], [1.0], [1.0], [0.0]] * 100)
    head.begin(codes)
    found = functional.softmax(head(torch.zeros(1, 4)), dim=1)
    torch.testing.assert_close(found, torch.tensor([[201 / 603, 401 / 603, 1 / 603]]))
    expected = functional.cross_entropy(head(torch.ones(600, 4)), codes[:, 0].long())
    torch.testing.assert_close(head.loss(head(torch.ones(600, 4)), codes), expected)


def test_pooling_is_the_tutorials_network() -> None:
    """A Conv1D of 64 filters of width 3, pooling over two steps, and what torch makes of the same weights."""
    torch.manual_seed(1)
    body = PooledBody(3, 20, 64, 3, 1, 2, (64, 32), 0.0)
    convolution = nn.Conv1d(3, 64, 3)
    with torch.no_grad():
        convolution.weight.copy_(body.convolutions[0].linear.weight.view(64, 3, 3).transpose(1, 2))
        convolution.bias.copy_(body.convolutions[0].linear.bias)
    windows = torch.randn(5, 20, 3)
    pooled = functional.max_pool1d(torch.relu(convolution(windows.transpose(1, 2))), 2)
    torch.testing.assert_close(body(windows), body.dense(pooled.transpose(1, 2).flatten(1)), rtol=1e-4, atol=1e-5)
    assert [layer.out_features for layer in body.dense if isinstance(layer, nn.Linear)] == [64, 32]
    assert body.width == 32


def test_what_does_not_belong_together_is_refused(data: tuple[Samples, Task]) -> None:
    samples, task = data
    quantiles = replace(task, kind="quantiles", levels=(0.5,), classes=())
    for name, asked, settings, message in (
        ("dense", task, {}, "learnt by `loss: cross_entropy`"),
        ("gan", task, {}, "learnt by `loss: cross_entropy`"),
        ("dense", task, {"loss": "cross_entropy", "residual": "har"}, "`residual: har` forecasts variances"),
        ("dense", quantiles, {"loss": "cross_entropy"}, "kind: classify"),
        ("cnn", task, {"loss": "cross_entropy", "pool": 4, "layers": 3}, "too short"),
    ):
        with pytest.raises(FitFailure, match=message):
            network(name, asked, **settings).fit(samples, samples, seed=0, hardware=Hardware())
    with pytest.raises(FitFailure, match="kind: classify"):
        trained("logistic", (samples, quantiles))
    downs = replace(samples, index=replace(samples.index, target=np.zeros_like(samples.index.target)))
    with pytest.raises(FitFailure, match="no training sample is of class flat, up"):
        trained("logistic", (downs, task), c=1.0)
