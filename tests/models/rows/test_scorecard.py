"""The scorecard: a card that can be worked out by hand, its points, monotonicity, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finflow.models.base import Hardware, Task
from finflow.models.rows.categories import category_code, category_codes
from finflow.models.rows.scorecard import Scorecard
from finflow.models.rows.scorecard_points import PointsSettings
from finflow.models.samples import Samples
from finflow.models.saving import save_model
from tests.support.models.tabular_cases import as_samples, fitted, rows, unfitted, with_codes, with_values

DAY = np.datetime64("2020-01-01", "ns")


def worked(copies: int = 1) -> tuple[Samples, Task]:
    """A number with three bins of 100 rows, of which 10, 20 and 60 are bad, and a category that says nothing."""
    number = np.repeat([1.0, 2.0, 3.0], 100 * copies)
    bad = np.concatenate([np.arange(100 * copies) < count * copies for count in (10, 20, 60)])
    codes = category_codes(["a", "b"] * (150 * copies))[:, None]
    return as_samples(number[:, None], codes, bad, np.full(len(number), DAY), ("number",), ("letter",))


def card(data: tuple[Samples, Task], **changes: object) -> Scorecard:
    """Fitted on all rows twice: what trains is what chooses."""
    model = unfitted("scorecard", data[1], **{"calibration": {"method": "none"}, "smoothing": 1e-9, "c": 1e6, **changes})
    model.fit(data[0], data[0], seed=0, hardware=Hardware())
    assert isinstance(model, Scorecard)
    return model


def test_one_feature_gives_back_the_rates_of_its_bins() -> None:
    """A regression on the weights of evidence of one feature alone has the weight 1 and the intercept of the base rate."""
    samples, task = worked()
    model = card((samples, task))
    assert model.state["weight"][0] == pytest.approx(1, abs=1e-3)
    assert model.state["intercept"][0] == pytest.approx(np.log(3 / 7), abs=1e-3)
    np.testing.assert_allclose(model.predict(samples).values[[0, 150, 299], 1], [0.1, 0.2, 0.6], atol=1e-3)


def test_points_are_those_of_the_textbook(tmp_path: Path) -> None:
    """Siddiqi (2006): 600 points at 50 to 1 with 20 to double have the factor 28.8539 and the offset 487.123."""
    scale = PointsSettings()
    assert scale.factor == pytest.approx(28.8539, abs=1e-4)
    assert scale.of_log_odds(np.array(0.0)) == pytest.approx(487.123, abs=1e-3)
    assert scale.of_log_odds(np.log(1 / np.array([50.0, 100.0, 25.0]))) == pytest.approx([600, 620, 580])
    samples, task = worked()
    model = card((samples, task))
    save_model(model, tmp_path / "model")
    told = json.loads((tmp_path / "model" / "state" / "points.json").read_text())
    (feature,) = told["features"]
    assert feature["feature"] == "number"
    bins = {one["bin"]: one for one in feature["bins"]}
    # odds of good to bad of 9, 4 and 2 to 3
    assert [bins[name]["points"] for name in ("(-inf, 1]", "(1, 2]", "(2, inf]")] == [
        round(487.123 + 28.8539 * np.log(odds)) for odds in (9, 4, 2 / 3)
    ]
    assert [bins[name]["event_rate"] for name in ("(-inf, 1]", "(1, 2]", "(2, inf]")] == [0.1, 0.2, 0.6]
    assert bins["missing"] == {"bin": "missing", "rows": 0, "event_rate": None, "weight_of_evidence": 0.0, "points": 512}
    np.testing.assert_allclose(model.points(samples)[[0, 299]], [487.123 + 28.8539 * np.log(odds) for odds in (9, 2 / 3)], atol=0.1)


def test_points_of_a_rows_bins_add_up_to_its_score(tmp_path: Path) -> None:
    data = rows()
    model = fitted("scorecard", data)
    assert isinstance(model, Scorecard)
    save_model(model, tmp_path / "model")
    told = json.loads((tmp_path / "model" / "state" / "points.json").read_text())
    features = {one["feature"]: one for one in told["features"]}
    assert set(features) >= {"amount", "income", "purpose"}
    row = data[0].take(np.array([11]))
    total = 0.0
    for name, one in features.items():
        for each in one["bins"]:
            if name in data[1].features:
                value = row.gather()[0, 0, data[0].column(name)]
                low, high = ("nan", "nan") if each["bin"] == "missing" else each["bin"].strip("(]").split(", ")
                here = np.isnan(value) if each["bin"] == "missing" else float(low) < float(f"{value:.6g}") <= float(high)
            else:
                code = int(row.gather_categories()[0, 0, data[1].categories.index(name)])
                here = code in each["bin"] if isinstance(each["bin"], list) else code == 0 and each["bin"] == "missing"
            total += each["points"] if here else 0
    assert total == pytest.approx(float(model.points(row)[0]), abs=0.5 * len(features) + 0.01)


def test_rare_unknown_and_missing_have_bins_of_their_own() -> None:
    letters = ["a"] * 300 + ["b"] * 300 + [None] * 200 + [f"rare {number}" for number in range(200)]
    chance = np.array([0.1] * 300 + [0.3] * 300 + [0.5] * 200 + [0.7] * 200)
    bad = (np.arange(1000) % 10) < chance * 10
    samples, task = as_samples(np.zeros((1000, 1)), category_codes(letters)[:, None], bad, np.full(1000, DAY), ("zero",), ("letter",))
    model = card((samples, task))
    np.testing.assert_allclose(model.predict(samples).values[[0, 300, 600, 800], 1], [0.1, 0.3, 0.5, 0.7], atol=0.01)
    unknown = model.predict(with_codes(samples, category_code("never seen")).take(np.arange(3))).values[:, 1]
    np.testing.assert_allclose(unknown, 0.7, atol=0.01)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_a_number_moves_the_probability_one_way(seed: int, falls: bool) -> None:
    random = np.random.default_rng(seed)
    number = random.normal(size=600)
    bad = random.random(600) < 1 / (1 + np.exp(-(-1 if falls else 1) * number * random.uniform(0, 2)))
    data = as_samples(number[:, None], np.zeros((600, 0), dtype=np.int64), bad, np.full(600, DAY), ("number",), ())
    model = card(data, smoothing=1.0, c=1.0)
    asked = with_values(data[0], number=0.0)
    asked.observations.values[:, 0] = np.linspace(-4, 4, 600)
    steps = np.diff(model.predict(asked).values[:, 1])
    assert (steps >= 0).all() or (steps <= 0).all()


def test_a_feature_whose_evidence_the_others_turn_round_is_left_out() -> None:
    """`echo` follows `cause`, and by itself lowers the risk that it seems to raise."""
    random = np.random.default_rng(1)
    cause = random.normal(size=4000)
    echo = cause + random.normal(0, 0.5, 4000)
    bad = random.random(4000) < 1 / (1 + np.exp(-(4 * cause - 1.5 * echo)))
    data = as_samples(np.column_stack([cause, echo]), np.zeros((4000, 0), dtype=np.int64), bad, np.full(4000, DAY), ("cause", "echo"), ())
    model = unfitted("scorecard", data[1], calibration={"method": "none"})
    report = model.fit(data[0], data[0], seed=0, hardware=Hardware())
    assert report.notes["left_out"] == ["echo"]
    assert report.notes["information_value"]["echo"] > 0.3
    found = model.contributions(data[0])
    assert found is not None
    np.testing.assert_array_equal(found.values[:, 1], 0.0)


def test_what_says_nothing_is_left_out() -> None:
    model = card(worked(), least_information=0.02)
    assert model.state["weight"][1] == 0
    nothing = card(worked(), least_information=100)
    np.testing.assert_allclose(nothing.predict(worked()[0]).values[:, 1], 0.3, atol=1e-6)
