"""Calibration: Platt against an independent fit, isotonic against scikit-learn, the split by time, and what holds for any scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression

from finflow.models.errors import FitFailure
from finflow.models.rows.calibration import (
    EDGE,
    FEWEST,
    Calibration,
    calibrated,
    fit_calibration,
    log_odds,
    logistic_curve,
    split_validation,
)
from finflow.models.samples import Samples
from tests.support.models.tabular_cases import rows


def drawn(count: int = 2000, seed: int = 0, slope: float = 0.5, intercept: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is too sure of itself, and what came."""
    random = np.random.default_rng(seed)
    score = random.normal(0, 2, count)
    code = (random.random(count) < 1 / (1 + np.exp(-(slope * score + intercept)))).astype(np.int64)
    return 1 / (1 + np.exp(-score)), code


def dated(days: list[int], target: list[int] | None = None) -> Samples:
    samples, _ = rows(len(days))
    time = np.datetime64("2020-01-01", "ns") + np.array(days) * np.timedelta64(1, "D")
    targets = samples.index.target if target is None else np.array(target, dtype=np.float32)[:, None]
    return replace(samples, index=replace(samples.index, time=time, target=targets))


def test_platt_is_the_curve_of_greatest_likelihood() -> None:
    """The softened targets of Platt (1999), maximised by another method."""
    probability, code = drawn()
    state = fit_calibration("platt", probability, code)
    ones, zeros = (code == 1).sum(), (code == 0).sum()
    target = np.where(code == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    score = np.log(probability / (1 - probability))

    def loss(at: np.ndarray) -> float:
        logit = at[0] * score + at[1]
        return float((np.logaddexp(0, logit) - target * logit).sum())

    found = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000}).x
    np.testing.assert_allclose([state["slope"][0], state["intercept"][0]], found, atol=1e-5)
    np.testing.assert_allclose(found, [0.5, -1.0], atol=0.15)
    np.testing.assert_allclose(calibrated(state, probability), 1 / (1 + np.exp(-(found[0] * score + found[1]))), atol=1e-5)


@pytest.mark.parametrize("spread", [0.1, 0.25, 2.0])
def test_a_prior_holds_the_slope_near_one(spread: float) -> None:
    """The likelihood times a normal density of the slope, maximised by another method."""
    probability, code = drawn(150)
    state = fit_calibration("platt", probability, code, spread)
    ones, zeros = (code == 1).sum(), (code == 0).sum()
    target = np.where(code == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    score = log_odds(probability)

    def loss(at: np.ndarray) -> float:
        logit = at[0] * score + at[1]
        return float((np.logaddexp(0, logit) - target * logit).sum() - norm.logpdf(at[0], 1, spread))

    found = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000}).x
    np.testing.assert_allclose([state["slope"][0], state["intercept"][0]], found, atol=1e-5)
    free = fit_calibration("platt", probability, code)["slope"][0]
    assert free < state["slope"][0] < 1


def test_a_prior_helps_where_events_are_few_and_yields_where_there_are_many() -> None:
    """A model that is right, calibrated on slices with about fifteen events, where a slope is chance; one that is too sure of itself."""
    slopes = {None: [], 0.25: []}  # type: dict[float | None, list[float]]
    for seed in range(60):
        random = np.random.default_rng(seed)
        score = random.normal(-3.5, 0.8, 400)
        code = (random.random(400) < logistic_curve(score)).astype(np.int64)
        if min(code.sum(), len(code) - code.sum()) >= FEWEST:
            for spread, found in slopes.items():
                found.append(float(fit_calibration("platt", logistic_curve(score), code, spread)["slope"][0]))
    missed = {spread: np.sqrt(np.mean(np.square(np.array(found) - 1))) for spread, found in slopes.items()}
    assert missed[0.25] < 0.5 * missed[None]
    probability, code = drawn(20_000)
    assert fit_calibration("platt", probability, code, 0.25)["slope"][0] == pytest.approx(0.5, abs=0.05)


def test_platt_never_turns_the_order_round() -> None:
    probability, code = drawn()
    state = fit_calibration("platt", 1 - probability, code)
    assert state["slope"][0] == 0.0
    assert np.ptp(calibrated(state, probability)) == 0.0
    assert calibrated(state, probability)[0] == pytest.approx(code.mean(), abs=1e-3)


def test_platt_of_separated_classes_is_finite() -> None:
    score = np.r_[np.full(50, 0.2), np.full(50, 0.8)]
    found = calibrated(fit_calibration("platt", score, (score > 0.5).astype(np.int64)), score)
    assert found[0] == pytest.approx(1 / 52, rel=0.05)
    assert found[-1] == pytest.approx(51 / 52, rel=0.05)


def test_platt_of_one_score_is_the_rate() -> None:
    code = (np.arange(200) % 4 == 0).astype(np.int64)
    found = calibrated(fit_calibration("platt", np.full(200, 0.9), code), np.array([0.9]))
    assert found[0] == pytest.approx(0.25, abs=0.01)


def test_isotonic_is_scikit_learns() -> None:
    probability, code = drawn(500)
    state = fit_calibration("isotonic", probability, code)
    asked = np.linspace(0, 1, 999)
    expected = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(probability, code).predict(asked)
    np.testing.assert_allclose(calibrated(state, asked), np.clip(expected, EDGE, 1 - EDGE), atol=1e-12)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_what_is_too_sure_is_mended(method: str) -> None:
    """On later samples the curve's slope is near one, and the loss is less."""
    state = fit_calibration(method, *drawn(4000, 1))  # type: ignore[arg-type]
    probability, code = drawn(20_000, 2)
    found = calibrated(state, probability)
    np.testing.assert_allclose(fit_calibration("platt", found, code)["slope"][0], 1.0, atol=0.12)

    def loss(values: np.ndarray) -> float:
        return float(-np.log(np.where(code == 1, values, 1 - values)).mean())

    assert loss(found) < loss(probability) - 0.1


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=40, max_size=80),
    st.sampled_from(["none", "platt", "isotonic"]),
)
def test_probabilities_keep_their_order_and_bounds(pairs: list[tuple[float, bool]], method: str) -> None:
    probability, came = np.array([score for score, _ in pairs]), np.array([int(label) for _, label in pairs])
    came[:FEWEST], came[FEWEST : 2 * FEWEST] = 0, 1
    state = fit_calibration(method, probability, came)  # type: ignore[arg-type]
    asked = np.sort(np.r_[probability, 0, 1, np.linspace(0, 1, 50)])
    found = calibrated(state, asked)
    assert (np.diff(found) >= 0).all()
    assert ((found >= EDGE) & (found <= 1 - EDGE)).all()
    for place in (0, 17, len(asked) - 1):
        assert calibrated(state, asked[place : place + 1])[0] == found[place], "to the bit, whatever is asked beside it"


@given(st.floats(EDGE, 1 - EDGE))
def test_the_curve_is_the_inverse_of_the_log_odds(probability: float) -> None:
    assert logistic_curve(log_odds(np.array([probability])))[0] == pytest.approx(probability, rel=1e-9)


def test_the_curve_does_not_overflow() -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_array_equal(logistic_curve(np.array([-1e300, -745.0, 0.0, 745.0, 1e300]))[[0, 2, 4]], [0.0, 0.5, 1.0])


def test_a_class_that_is_hardly_there_is_refused() -> None:
    code = np.r_[np.ones(FEWEST - 1, dtype=np.int64), np.zeros(100, dtype=np.int64)]
    with pytest.raises(FitFailure, match="has 9 of one class, at least 10"):
        fit_calibration("platt", np.full(len(code), 0.5), code)
    assert fit_calibration("none", np.full(len(code), 0.5), code) == {}


def test_the_later_part_calibrates() -> None:
    early, late = split_validation(dated([0, 0, 1, 2, 2, 3, 4, 5, 6, 7]), Calibration(share=0.3))
    days = [part.index.time.astype("datetime64[D]").astype(int) - 18262 for part in (early, late)]
    assert days[0].tolist() == [0, 0, 1, 2, 2, 3, 4]
    assert days[1].tolist() == [5, 6, 7]


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.floats(0.05, 0.95))
def test_a_date_is_in_one_part_and_every_sample_in_one(days: list[int], share: float) -> None:
    if len(set(days)) == 1:
        days = [*days[:-1], days[-1] + 1]
    early, late = split_validation(dated(days), Calibration(share=share))
    assert early.index.time.max() < late.index.time.min()
    assert len(early) + len(late) == len(days)


@given(st.lists(st.integers(0, 1), min_size=8, max_size=60), st.sampled_from([0.25, 0.5, 0.75]))
def test_without_dates_every_class_is_dealt_out(target: list[int], share: float) -> None:
    early, late = split_validation(dated([0] * len(target), target), Calibration(share=share))
    assert sorted(np.r_[early.index.row, late.index.row].tolist()) == list(range(len(target)))
    assert len(late) == pytest.approx(share * len(target), abs=1)
    for label in (0, 1):
        assert int((late.targets[:, 0] == label).sum()) == pytest.approx(share * target.count(label), abs=1.01)


def test_nothing_is_split_where_nothing_is_calibrated() -> None:
    samples = dated([0, 1, 2])
    assert split_validation(samples, Calibration(method="none")) == (samples, samples)


def test_one_sample_cannot_be_split() -> None:
    with pytest.raises(FitFailure, match="cannot be split"):
        split_validation(dated([0]), Calibration())
