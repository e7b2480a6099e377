"""What every classical model of rows must hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finflow.models.base import Hardware, Task
from finflow.models.errors import FitFailure
from finflow.models.rows.categories import category_code
from finflow.models.samples import Samples
from finflow.models.saving import load_model, save_model
from finflow.models.zoo import model_class
from tests.support.models.tabular_cases import as_samples, fitted, log_loss, rows, served, split, unfitted, with_codes, with_values

MODELS = ("boosting", "isolation_forest", "scorecard", "tabular_logistic")
#: settings that need no long search
FEW: dict[str, dict[str, object]] = {
    "boosting": {"rounds": 5},
    "isolation_forest": {"trees": 5},
    "scorecard": {"c": 0.01},
    "tabular_logistic": {"c": 0.01},
}
#: those that learn from the classes
SUPERVISED = ("boosting", "scorecard", "tabular_logistic")


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    return rows()


def base_rate(data: tuple[Samples, Task]) -> float:
    train, validation, test = split(data[0])
    share = float(np.concatenate([train.targets, validation.targets]).mean())
    came = test.targets[:, 0]
    return float(-(came * np.log(share) + (1 - came) * np.log(1 - share)).mean())


@pytest.mark.parametrize("name", MODELS)
def test_saved_served_and_seeded_to_the_bit(name: str, data: tuple[Samples, Task], tmp_path: Path) -> None:
    samples, task = data
    model = fitted(name, data)
    whole = model.predict(samples)
    assert (whole.kind, whole.values.shape, whole.values.dtype) == ("probabilities", (len(samples), 2), np.float32)
    np.testing.assert_allclose(whole.values.sum(axis=1), 1.0, rtol=1e-6)
    assert ((whole.values > 0) & (whole.values < 1)).all()
    save_model(model, tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(samples).values, whole.values)
    np.testing.assert_array_equal(loaded.predict(served(samples, task)).values, whole.values)
    np.testing.assert_array_equal(fitted(name, data).predict(samples).values, whole.values)
    other = fitted(name, data, seed=2).predict(samples).values
    assert np.array_equal(other, whole.values) is not model_class(name).seeded


@pytest.mark.parametrize("name", MODELS)
def test_a_row_does_not_depend_on_its_neighbours(name: str, data: tuple[Samples, Task]) -> None:
    samples, _ = data
    model = fitted(name, data)
    whole = model.predict(samples).values
    for chosen in (np.array([7]), np.arange(3), np.arange(100)[::-1], np.repeat(5, 9)):
        np.testing.assert_array_equal(model.predict(samples.take(chosen)).values, whole[chosen])
    assert model.predict(samples.take(np.arange(0))).values.shape == (0, 2)


@pytest.mark.parametrize("name", SUPERVISED)
def test_learns_what_rows_tell(name: str, data: tuple[Samples, Task]) -> None:
    assert log_loss(fitted(name, data), split(data[0])[2]) < 0.93 * base_rate(data)


@pytest.mark.parametrize("name", SUPERVISED)
def test_contributions_are_complete(name: str, data: tuple[Samples, Task], tmp_path: Path) -> None:
    """Their sum is the log odds, and what a probability is without a calibration; a constant and an empty column move nothing."""
    model = fitted(name, data, calibration={"method": "none"})
    found = model.contributions(data[0])
    assert found is not None
    assert found.values.shape == (len(data[0]), 6)
    assert np.abs(found.error).max() < 2e-6
    probability = model.predict(data[0]).values[:, 1].astype(np.float64)
    np.testing.assert_allclose(found.score, np.log(probability / (1 - probability)), atol=1e-4)
    np.testing.assert_array_equal(found.values[:, 2:4], 0.0)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model").contributions(data[0].take(np.arange(5)))
    assert again is not None
    np.testing.assert_array_equal(again.values, found.values[:5])
    calibrated = fitted(name, data).contributions(data[0])
    assert calibrated is not None
    assert np.abs(calibrated.error).max() < 2e-6


@pytest.mark.parametrize("name", MODELS)
def test_what_was_never_seen_is_answered(name: str, data: tuple[Samples, Task]) -> None:
    samples, _ = data
    model = fitted(name, data)
    for changed in (
        with_codes(samples, category_code("never seen")),
        with_codes(samples, 0),
        with_values(samples, amount=np.nan, income=np.nan),
        with_values(samples, amount=np.inf, constant=np.inf, empty=5.0),
        with_values(samples, amount=-3.4e38),
    ):
        found = model.predict(changed.take(np.arange(50))).values
        assert np.isfinite(found).all()
        assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_missing_value_tells_something(name: str, data: tuple[Samples, Task]) -> None:
    """Who leaves the income out is riskier here, whatever median stands in for it."""
    model = fitted(name, data)
    missing = model.predict(with_values(data[0], income=np.nan)).values[:, 1].mean()
    typical = model.predict(with_values(data[0], income=float(np.nanmedian(data[0].observations.values[:, 1])))).values[:, 1].mean()
    assert missing > typical + 0.01


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("part", "label"), [(0, 0.0), (1, 1.0)])
def test_one_class_alone_is_refused(name: str, part: int, label: float, data: tuple[Samples, Task]) -> None:
    parts = list(split(data[0])[:2])
    parts[part] = replace(parts[part], index=replace(parts[part].index, target=np.full_like(parts[part].targets, label)))
    message = f"no {('training', 'validation')[part]} sample of .* is of class '{'bad' if label == 0 else 'good'}'"
    with pytest.raises(FitFailure, match=message):
        unfitted(name, data[1]).fit(*parts, seed=0, hardware=Hardware())


def test_one_class_alone_in_what_chooses_is_refused(data: tuple[Samples, Task]) -> None:
    train, validation, _ = split(data[0])
    target = validation.targets.copy()
    target[: len(target) // 2 + 20] = 0.0
    one = replace(validation, index=replace(validation.index, target=target))
    with pytest.raises(FitFailure, match=r"no earlier validation sample of .* is of class 'bad'"):
        unfitted("boosting", data[1]).fit(train, one, seed=0, hardware=Hardware())


@pytest.mark.parametrize("name", MODELS)
def test_other_tasks_are_refused(name: str, data: tuple[Samples, Task]) -> None:
    train, validation, _ = split(data[0])
    for task in (replace(data[1], kind="quantiles", classes=()), replace(data[1], classes=("a", "b", "c"))):
        with pytest.raises(FitFailure, match="kind: outcome"):
            unfitted(name, task).fit(train, validation, seed=0, hardware=Hardware())


@pytest.mark.parametrize("name", MODELS)
def test_nothing_but_categories_or_numbers(name: str, data: tuple[Samples, Task]) -> None:
    samples, task = data
    for own in (replace(task, features=()), replace(task, categories=())):
        block = samples.observations.blocks["categories"][:, : len(own.categories)]
        observations = replace(samples.observations, blocks={"categories": np.ascontiguousarray(block)} if own.categories else {})
        view = replace(samples, observations=observations)
        model = fitted(name, (view, own))
        assert np.isfinite(model.predict(view).values).all()
        found = model.contributions(view)
        assert found is None or found.values.shape == (len(view), len(own.features) + len(own.categories))


@pytest.mark.parametrize("name", MODELS)
def test_nothing_to_tell_apart_gives_the_base_rate(name: str) -> None:
    """Constants and empty columns alone."""
    count = 400
    values = np.column_stack([np.full(count, 2.0), np.full(count, np.nan)])
    target = (np.arange(count) % 4 == 0).astype(np.float32)
    data = as_samples(
        values, np.zeros((count, 1), dtype=np.int64), target, np.full(count, np.datetime64("2020-01-01", "ns")), ("a", "b"), ("c",)
    )
    found = fitted(name, data).predict(data[0]).values[:, 1]
    assert np.ptp(found) < 1e-6
    assert found[0] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_ten_thousand_columns(name: str) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(300, 10_000)).astype(np.float32)
    target = (values[:, 7] + random.normal(size=300) > 0).astype(np.float32)
    time = np.full(300, np.datetime64("2020-01-01", "ns"))
    data = as_samples(values, np.zeros((300, 0), dtype=np.int64), target, time, tuple(f"x{number}" for number in range(10_000)), ())
    model = fitted(name, data, **FEW[name])
    found = model.predict(data[0])
    assert np.isfinite(found.values).all()


def test_an_infinite_number_in_training_is_named(data: tuple[Samples, Task]) -> None:
    train, validation, _ = split(with_values(data[0], amount=np.inf))
    with pytest.raises(FitFailure, match=r"\['amount'\] hold infinite"):
        unfitted("tabular_logistic", data[1]).fit(train, validation, seed=0, hardware=Hardware())


def test_before_a_fit_there_is_no_answer(data: tuple[Samples, Task], tmp_path: Path) -> None:
    for name in MODELS:
        model = unfitted(name, data[1])
        with pytest.raises(RuntimeError, match="fit or load"):
            model.predict(data[0])
        with pytest.raises(RuntimeError, match="fit or load"):
            model.save(tmp_path)


def test_the_logistic_regression_of_windows_does_not_pass_over_categories(data: tuple[Samples, Task]) -> None:
    kind = model_class("logistic")
    for task in (replace(data[1], missing=False), replace(data[1], categories=())):
        with pytest.raises(FitFailure, match="are for tabular_logistic"):
            kind(kind.Settings(), task).fit(*split(data[0])[:2], seed=0, hardware=Hardware())


def test_the_base_rate_and_the_majority_answer_rows_too(data: tuple[Samples, Task]) -> None:
    """The models of classes that look at no row take those with missing numbers and categories as they are."""
    samples, task = data
    train, validation, test = split(samples)
    share = float(np.concatenate([train.targets, validation.targets]).mean())
    for name, expected in (("class_frequency", [1 - share, share]), ("majority", [1.0, 0.0])):
        kind = model_class(name)
        model = kind(kind.Settings(), task)
        model.fit(train, validation, seed=0, hardware=Hardware())
        np.testing.assert_allclose(model.predict(test).values, np.tile(expected, (len(test), 1)), rtol=1e-6)
        np.testing.assert_array_equal(model.predict(served(test, task)).values, model.predict(test).values)
        assert model.contributions(test) is None


@pytest.mark.parametrize("method", ["none", "platt", "isotonic"])
def test_a_model_without_its_own_calibration_is_not_read(method: str, data: tuple[Samples, Task], tmp_path: Path) -> None:
    """Probabilities that are not calibrated look like ones that are: only the file can tell, and what it lacks must not go unnoticed."""
    from safetensors.numpy import save_file

    model = fitted("tabular_logistic", data, c=1.0, calibration={"method": method})
    save_model(model, tmp_path / "model")
    assert (load_model(tmp_path / "model").predict(data[0]).values == model.predict(data[0]).values).all()
    assert model.calibration is not None
    one, flat = np.array([1.0]), np.array([0.5])
    other = {"none": {"slope": one, "intercept": flat}, "platt": {"intercept": flat}, "isotonic": {}}
    wrong: list[dict[str, np.ndarray]] = [other[method], {name: np.full_like(array, np.nan) for name, array in model.calibration.items()}]
    for state in wrong[: 1 if method == "none" else 2]:
        (file,) = (tmp_path / "model").rglob("calibration.safetensors")
        save_file(state, file)
        with pytest.raises(ValueError, match=f"are not those of the method '{method}'"):
            load_model(tmp_path / "model")
