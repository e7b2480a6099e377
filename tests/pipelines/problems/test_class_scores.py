"""Losses and metrics of probabilities, against scikit-learn and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from finflow.pipelines.problems.class_scores import LEAST, brier, class_metrics, hits, log_loss
from finflow.pipelines.statistics.bootstrap import Resampling
from finflow.pipelines.statistics.metric_parts import MetricParts

CLASSES = {2: ("down", "up"), 3: ("down", "flat", "up")}


def simulated(count: int, classes: int, seed: int = 0, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and classes drawn from them; a sharpness above 1 states them too boldly."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1, (count, classes))
    true = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    codes = (random.random(count)[:, None] > true.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    stated = true**sharpness
    return stated / stated.sum(axis=1, keepdims=True), codes


def value(parts: list[MetricParts], name: str) -> float:
    found = next(part for part in parts if part.name == name)
    return float(found.combine(*(np.nanmean(component) for component in found.components)))


@pytest.mark.parametrize("classes", [2, 3])
def test_against_scikit_learn(classes: int) -> None:
    probabilities, codes = simulated(400, classes)
    probabilities = np.round(probabilities, 2)  # ties
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = list(range(classes))
    found = class_metrics(probabilities, codes, CLASSES[classes])
    assert value(found, "log_loss") == pytest.approx(reference.log_loss(codes, probabilities, labels=labels), rel=1e-12)
    expected = reference.brier_score_loss(codes, probabilities, labels=labels, scale_by_half=False)
    assert value(found, "brier") == pytest.approx(expected, rel=1e-12)
    asked = probabilities[:, 1] if classes == 2 else probabilities
    assert value(found, "auc") == pytest.approx(reference.roc_auc_score(codes, asked, multi_class="ovr"), rel=1e-12)
    sure = probabilities + np.arange(classes) * 1e-9  # without ties at the top
    assert hits(sure, codes).mean() == pytest.approx(reference.accuracy_score(codes, sure.argmax(axis=1)))
    assert {part.name: part.better for part in found} == {
        **{"log_loss": "lower", "brier": "lower", "accuracy": "higher", "auc": "higher", "calibration_error": "lower"},
        **dict.fromkeys((f"excess_{name}" for name in CLASSES[classes][1:]), "target"),
    }


def test_by_hand() -> None:
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    codes = np.array([1, 0, 1])
    np.testing.assert_allclose(log_loss(probabilities, codes), [-np.log(0.75), np.log(2), -np.log(LEAST)])
    np.testing.assert_allclose(brier(probabilities, codes), [0.125, 0.5, 2.0])
    np.testing.assert_allclose(hits(probabilities, codes), [1.0, 0.5, 0.0])
    assert value(class_metrics(probabilities, codes, CLASSES[2]), "excess_up") == pytest.approx(1.25 / 3 - 2 / 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_calibration_of_calibrated_and_of_bold_forecasts(classes: int) -> None:
    right = value(class_metrics(*simulated(40_000, classes, 1), CLASSES[classes]), "calibration_error")
    bold = value(class_metrics(*simulated(40_000, classes, 1, sharpness=2.0), CLASSES[classes]), "calibration_error")
    assert right < 0.01
    assert bold > 0.05


def test_the_calibration_error_is_that_of_the_bins() -> None:
    probabilities, codes = simulated(3000, 2, 2, sharpness=1.5)
    place = np.minimum((probabilities[:, 1] * 10).astype(int), 9)
    expected = sum(
        abs(probabilities[place == number, 1].mean() - codes[place == number].mean()) * (place == number).mean()
        for number in np.unique(place)
    )
    assert value(class_metrics(probabilities, codes, CLASSES[2]), "calibration_error") == pytest.approx(expected, rel=1e-9)


def test_intervals_of_the_auc_hold_it_about_as_often_as_they_should() -> None:
    """Ninety per cent intervals over sixty seeds; the truth is that of a large draw."""
    truth = reference.roc_auc_score(*reversed([simulated(200_000, 2, 99)[0][:, 1], simulated(200_000, 2, 99)[1]]))
    dates = np.arange(400).astype("datetime64[D]")
    inside = 0
    for seed in range(60):
        parts = next(part for part in class_metrics(*simulated(400, 2, seed), CLASSES[2]) if part.name == "auc")
        value, low, high = Resampling(dates, block=1, replications=200, seed=seed).interval(parts, 0.9)
        assert value is not None
        assert low is not None
        assert high is not None
        inside += low <= truth <= high
    assert 48 <= inside <= 60


def test_a_class_that_never_came_has_no_auc() -> None:
    probabilities, _ = simulated(20, 2)
    dates = np.arange(20).astype("datetime64[D]")
    parts = next(part for part in class_metrics(probabilities, np.zeros(20, dtype=np.int64), CLASSES[2]) if part.name == "auc")
    assert Resampling(dates, block=1, replications=50, seed=0).interval(parts, 0.9) == (None, None, None)
