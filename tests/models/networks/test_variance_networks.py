"""Networks of variances: they start as the regression they stand on, and learn what it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from finflow.models.base import Hardware, Model, Task
from finflow.models.ensemble import average
from finflow.models.errors import FitFailure
from finflow.models.networks.modules.heads import VarianceHead
from finflow.models.networks.network import Network
from finflow.models.samples import Samples, from_windows
from finflow.models.saving import load_model, save_model
from tests.support.models.classical_cases import fitted
from tests.support.models.network_cases import LEVELS, network, split
from tests.support.models.variance_cases import variance_panel

FAMILIES = ("cnn", "dense", "recurrent")
RESIDUAL: dict[str, Any] = {"loss": "qlike", "residual": "log_har_leverage"}


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    return variance_panel(days=500)


@pytest.fixture(scope="module")
def nets(data: tuple[Samples, Task]) -> dict[str, Model]:
    return {name: trained(name, data, **RESIDUAL) for name in FAMILIES}


def trained(name: str, data: tuple[Samples, Task], seed: int = 1, **settings: Any) -> Model:
    train, validation, _ = split(data[0])
    model = network(name, data[1], **settings)
    model.fit(train, validation, seed=seed, hardware=Hardware())
    return model


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("residual", ["har", "log_har", "log_har_leverage"])
def test_before_the_first_step_it_is_the_regression_to_the_bit(name: str, residual: str, data: tuple[Samples, Task]) -> None:
    samples, task = data
    train, validation, _ = split(samples)
    model = cast(Network, trained(name, data, loss="qlike", residual=residual, epochs=1))
    regression = fitted("har", task, train, validation, form=residual)
    expected = regression.predict(samples).values
    assert not np.array_equal(model.predict(samples).values, expected), "one epoch has moved it"
    model.forecaster = model.module().eval()
    np.testing.assert_array_equal(model.predict(samples).values, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_served_and_seeded(name: str, data: tuple[Samples, Task], nets: dict[str, Model], tmp_path: Path) -> None:
    samples, task = data
    whole = nets[name].predict(samples)
    assert (whole.kind, whole.values.shape) == ("variances", (len(samples), 2))
    assert (whole.values > 0).all()
    save_model(nets[name], tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(samples).values, whole.values)
    windows = from_windows(samples.gather(length=loaded.context), task.columns, task.length, task.outputs)
    np.testing.assert_array_equal(loaded.predict(windows).values, whole.values)
    np.testing.assert_array_equal(trained(name, data, **RESIDUAL).predict(samples).values, whole.values)
    assert not np.array_equal(trained(name, data, seed=2, **RESIDUAL).predict(samples).values, whole.values)


def test_a_short_window_reaches_back_for_the_month() -> None:
    data = variance_panel(days=300, length=5)
    model = trained("dense", data, **RESIDUAL)
    assert model.context == 22
    samples, task = data
    windows = from_windows(samples.gather(length=22), task.columns, task.length, task.outputs)
    np.testing.assert_array_equal(model.predict(windows).values, model.predict(samples).values)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("residual", ["none", "log_har_leverage"])
def test_learns_what_the_regression_cannot_see(name: str, residual: str) -> None:
    """A feature that says whether tomorrow is twice as wild or half as wild."""
    samples, task = variance_panel(days=900)
    omen = np.random.default_rng(3).choice([-1.0, 1.0], len(samples.observations.values)).astype(np.float32)
    values = samples.observations.values.copy()
    values[:, 1] = omen
    target = samples.index.target * np.exp2(omen[samples.index.row])[:, None]
    samples = replace(samples, observations=replace(samples.observations, values=values), index=replace(samples.index, target=target))
    changes: dict[str, Any] = {"epochs": 25, "learning_rate": 0.01, "dropout": 0.0, "patience": 25}
    model = trained(name, (samples, task), loss="qlike", residual=residual, **changes)
    train, validation, test = split(samples)

    def loss(one: Model) -> float:
        ratio = test.targets.astype(np.float64) / one.predict(test).values
        return float((ratio - np.log(ratio) - 1).mean())

    assert loss(model) < 0.75 * loss(fitted("har", task, train, validation))


@pytest.mark.parametrize("loss", ["quantile", "student_t"])
def test_quantiles_stand_on_the_regression_too(loss: str, data: tuple[Samples, Task]) -> None:
    samples, task = data
    asked = replace(samples, index=replace(samples.index, target=np.log(samples.index.target)))
    question = replace(task, kind="quantiles", levels=LEVELS)
    test = split(asked)[2]
    model = cast(Network, trained("dense", (asked, question), loss=loss, residual="log_har_leverage", epochs=1, learning_rate=1e-6))
    found = model.predict(test).values
    assert found.shape == (len(test), 2, 5)
    # hardly trained, it is the regression of the variances, and quantiles around it that hardly move
    regression = np.log(fitted("har", task, *split(samples)[:2]).predict(split(samples)[2]).values)
    distance = found - regression[:, :, None]
    assert (distance.std(axis=0) < 0.12 * np.abs(np.diff(distance.mean(axis=0))[:, :1]).sum()).all()
    covered = ((found[:, :, 0] <= test.targets) & (test.targets <= found[:, :, -1])).mean()
    assert 0.8 < covered < 0.97


def test_the_head_is_trained_by_qlike_and_starts_at_the_mean() -> None:
    torch.manual_seed(0)
    targets = torch.randn(500, 2)
    head = VarianceHead(4, 2, residual=False)
    with torch.no_grad():
        head.begin(targets)
    found = head(torch.randn(3, 4))
    torch.testing.assert_close(found, targets.exp().mean(0).log().expand(3, 2))
    assert head.loss(targets, targets).item() == pytest.approx(0.0, abs=1e-6)
    # by hand: a target twice the forecast costs 2 - log 2 - 1
    assert head.loss(torch.zeros(1, 1), torch.full((1, 1), np.log(2.0))).item() == pytest.approx(1 - np.log(2.0), rel=1e-5)
    # y e^-f + f has the same gradient
    f = torch.randn(500, 2, requires_grad=True)
    (one,) = torch.autograd.grad(head.loss(f, targets), f)
    (other,) = torch.autograd.grad((targets.exp() * (-f).exp() + f).mean(), f)
    torch.testing.assert_close(one, other)


def test_centred_windows_have_no_level(data: tuple[Samples, Task]) -> None:
    samples, _ = data
    model = cast(Network, trained("dense", data, loss="qlike", centred=True))
    higher = samples.observations.values.copy()
    higher[:, 0] += 0.25
    moved = replace(samples, observations=replace(samples.observations, values=higher))
    np.testing.assert_allclose(model.predict(moved).values, model.predict(samples).values, rtol=1e-4)
    plain = trained("dense", data, loss="qlike")
    assert np.abs(plain.predict(moved).values / plain.predict(samples).values - 1).max() > 1e-3


def test_variances_are_averaged_in_logarithms(data: tuple[Samples, Task], nets: dict[str, Model]) -> None:
    parts = [nets[name].predict(data[0]) for name in FAMILIES]
    expected = np.exp(np.mean([np.log(part.values.astype(np.float64)) for part in parts], axis=0))
    np.testing.assert_allclose(average(parts).values, expected, rtol=1e-6)


def test_what_does_not_belong_together_is_refused(data: tuple[Samples, Task]) -> None:
    samples, task = data
    quantiles = replace(task, kind="quantiles", levels=(0.5,), steps=())
    for asked, settings, message in (
        (task, {}, "learnt by `loss: qlike`"),
        (quantiles, {"loss": "qlike"}, "set loss: quantile"),
        (replace(quantiles, log_variance=None), {"loss": "qlike"}, "kind: volatility"),
        (replace(quantiles, log_variance=None), {"residual": "har"}, "kind: volatility"),
    ):
        with pytest.raises(FitFailure, match=message):
            network("dense", asked, **settings).fit(samples, samples, seed=0, hardware=Hardware())
