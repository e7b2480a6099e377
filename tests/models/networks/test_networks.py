"""What every network must hold, whatever its family."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finflow.models.base import Model, Task
from finflow.models.errors import FitFailure
from finflow.models.samples import Samples, from_windows
from finflow.models.saving import load_model, save_model
from finflow.models.zoo import model_class
from tests.support.models.network_cases import FAMILIES, fit, network, noise, panel, split

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    return panel(noise())


@pytest.fixture(scope="module")
def fitted(data: tuple[Samples, Task]) -> dict[str, Model]:
    samples, task = data
    models = {name: network(name, task) for name in FAMILIES}
    for model in models.values():
        fit(model, samples)
    return models


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_ascending_quantiles_near_the_noise(name: str, data: tuple[Samples, Task], fitted: dict[str, Model]) -> None:
    test = split(data[0])[2]
    prediction = fitted[name].predict(test)
    assert prediction.values.dtype == np.float32
    assert prediction.values.shape == (len(test), 2, 5)
    assert prediction.levels == data[1].levels
    assert (np.diff(prediction.values, axis=2) >= 0).all()
    # 90 % intervals of returns of 1 % a day: 3.3 % wide at one day, 4.7 % at two.
    width = np.median(prediction.values[:, :, -1] - prediction.values[:, :, 0], axis=0)
    assert (width > [0.02, 0.028]).all()
    assert (width < [0.06, 0.08]).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_report_tells_the_story(name: str, data: tuple[Samples, Task]) -> None:
    model = network(name, data[1], epochs=3)
    report = fit(model, data[0])
    assert [row["epoch"] for row in report.epochs] == [1.0, 2.0, 3.0]
    losses = [row["validation_loss"] for row in report.epochs]
    assert report.best_epoch == 1 + int(np.argmin(losses))
    assert report.parameters > 0
    json.dumps(report.notes, allow_nan=False)


@pytest.mark.parametrize("name", FAMILIES)
def test_same_seed_same_bits_other_seed_other_bits(name: str, data: tuple[Samples, Task], fitted: dict[str, Model]) -> None:
    samples, task = data
    torch.rand(3)  # the state of the generator before must not matter
    answers = []
    for seed in (1, 2):
        model = network(name, task)
        fit(model, samples, seed=seed)
        answers.append(model.predict(samples).values)
    assert np.array_equal(answers[0], fitted[name].predict(samples).values)
    assert not np.array_equal(answers[0], answers[1])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_sample_does_not_feel_its_neighbours(name: str, data: tuple[Samples, Task], fitted: dict[str, Model]) -> None:
    samples, model = data[0], fitted[name]
    whole = model.predict(samples).values
    order = np.random.default_rng(5).permutation(len(samples))
    assert np.array_equal(model.predict(samples.take(order)).values, whole[order])
    for position in (0, 17, len(samples) - 1):
        assert np.array_equal(model.predict(samples.take(np.array([position]))).values[0], whole[position])
    assert np.array_equal(model.predict(samples.take(np.arange(40, 553))).values, whole[40:553])


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_outside_the_window_are_never_read(name: str, data: tuple[Samples, Task], fitted: dict[str, Model]) -> None:
    samples, model = data[0], fitted[name]
    some = samples.take(np.flatnonzero(samples.index.entity == 0)[100:101])
    spoilt = np.full_like(some.observations.values, np.nan)
    row = int(some.index.row[0])
    spoilt[row - 7 : row + 1] = some.observations.values[row - 7 : row + 1]
    answer = model.predict(replace(some, observations=replace(some.observations, values=spoilt)))
    assert np.array_equal(answer.values, model.predict(some).values)


@pytest.mark.parametrize("name", FAMILIES)
def test_served_windows_give_the_same_bits(name: str, data: tuple[Samples, Task], fitted: dict[str, Model]) -> None:
    samples, model = data[0].take(np.array([0, 5, 400])), fitted[name]
    windows = samples.gather(length=30)
    assert np.isnan(windows[0]).any(), "the first sample has no thirty rows behind it"
    served = from_windows(windows, samples.columns, data[1].length, outputs=2)
    assert np.array_equal(model.predict(served).values, model.predict(samples).values)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_value_missing_in_a_window_is_refused(name: str, data: tuple[Samples, Task], fitted: dict[str, Model]) -> None:
    windows = data[0].take(np.arange(50, 60)).gather()
    windows[4, 2, 2] = np.nan
    with pytest.raises(ValueError, match=r"sample 4 of 10 .* \['other'\]"):
        fitted[name].predict(from_windows(windows, data[1].columns, 8, outputs=2))


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_and_loaded_answers_the_same_bits(name: str, data: tuple[Samples, Task], fitted: dict[str, Model], tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    for folder in ("one", "two"):
        save_model(fitted[name], tmp_path / folder)
    loaded = load_model(tmp_path / "one")
    assert torch.equal(state, torch.random.get_rng_state())
    assert type(loaded) is type(fitted[name])
    assert loaded.settings == fitted[name].settings
    assert np.array_equal(loaded.predict(data[0]).values, fitted[name].predict(data[0]).values)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert [str(path) for path in files] == ["model.json", "state/weights.safetensors"]
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


@pytest.mark.parametrize("name", FAMILIES)
def test_no_samples_no_answers(name: str, data: tuple[Samples, Task], fitted: dict[str, Model]) -> None:
    assert fitted[name].predict(data[0].take(np.array([], dtype=np.int64))).values.shape == (0, 2, 5)


def test_a_window_of_one_row_and_one_feature_is_enough() -> None:
    samples, task = panel(noise(300, 1), length=1, horizon=1)
    task = replace(task, features=("log_return",), increment=None, level=None)
    for name in FAMILIES:
        model = network(name, task)
        fit(model, samples)
        assert model.predict(samples).values.shape == (len(samples), 1, 5)


def test_damaged_or_foreign_weights_are_refused(data: tuple[Samples, Task], fitted: dict[str, Model], tmp_path: Path) -> None:
    save_model(fitted["dense"], tmp_path / "model")
    weights = tmp_path / "model" / "state" / "weights.safetensors"
    description = tmp_path / "model" / "model.json"
    whole = description.read_text()
    description.write_text(whole.replace('"hidden": [\n   8\n  ]', '"hidden": [\n   9\n  ]'))
    with pytest.raises(ValueError, match="does not fit its settings"):
        load_model(tmp_path / "model")
    description.write_text(whole.replace('"other"\n  ],\n  "increment"', '"other", "__level"\n  ],\n  "increment"'))
    with pytest.raises(ValueError, match="feature_location"):
        load_model(tmp_path / "model")
    description.write_text(whole)
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(tmp_path / "model")


def test_what_does_not_fit_the_task_is_refused(data: tuple[Samples, Task], fitted: dict[str, Model]) -> None:
    samples, task = data
    renamed = replace(samples, observations=replace(samples.observations, columns=("a", "b", "c", "d")))
    with pytest.raises(ValueError, match="columns"):
        fitted["dense"].predict(renamed)
    with pytest.raises(ValueError, match="windows of 9"):
        fitted["dense"].predict(replace(samples, length=9))
    with pytest.raises(FitFailure, match="probabilities"):
        fit(network("dense", replace(task, kind="probabilities", levels=())), samples)
    with pytest.raises(FitFailure, match="predicts: change"):
        fit(network("dense", replace(task, level=None), predicts="level"), samples)
    with pytest.raises(RuntimeError, match="neither fitted nor loaded"):
        network("dense", task).predict(samples)
    train, _, _ = split(samples)
    with pytest.raises(FitFailure, match="validation part has 0"):
        network("dense", task).fit(train, train.take(np.array([], dtype=np.int64)), seed=1, hardware=fit_hardware())


def fit_hardware() -> object:
    from finflow.models.base import Hardware

    return Hardware()


def test_settings_that_need_no_torch() -> None:
    code = "import sys; from finflow.models.zoo import model_class; "
    code += "[model_class(n).Settings() for n in ('recurrent', 'cnn', 'dense', 'gan')]; "
    code += "import finflow.models.saving, finflow.models.ensemble; "
    code += "print([n for n in ('torch', 'pytorch_lightning', 'scipy', 'pandas') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0},
        {"learning_rate": -1},
        {"learning_rate": 1e9},
        {"learning_rate": float("nan")},
        {"learning_rate": "0.1"},
        {"epochs": 0},
        {"epochs": True},
        {"epochs": 2.5},
        {"batch": 0},
        {"dropout": 1.0},
        {"clip": 0},
        {"weight_decay": -0.1},
        {"patience": 0},
        {"scaling": "zscore"},
        {"predicts": "price"},
        {"colour": 1},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    for name in FAMILIES:
        with pytest.raises(ValueError, match=next(iter(settings))):
            model_class(name).Settings.model_validate(settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("recurrent", {"hidden": []}),
        ("recurrent", {"cell": "transformer"}),
        ("recurrent", {"loss": "mae"}),
        ("dense", {"hidden": [0]}),
        ("dense", {"hidden": [10**6]}),
        ("cnn", {"kernel": 1}),
        ("cnn", {"layers": 40}),
        ("gan", {"paths": 1}),
        ("gan", {"loss": "mse"}),
    ],
)
def test_shapes_out_of_range_are_refused(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        model_class(name).Settings.model_validate(settings)
