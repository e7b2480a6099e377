"""The problem of classes: labels by hand, prediction rows and back, what leaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Prediction
from finflow.pipelines.definitions.definition import parse_definition, problem_of
from finflow.pipelines.leakage.check import check_rows
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.samples.windows import build_samples
from tests.support.class_support import class_values
from tests.support.pipelines.bars import bars, definition
from tests.support.pipelines.problems.indices import index_of

#: before each hand-made path: returns of +1 % and -1 % in turn, so that four of them have a standard deviation of 0.011547
CALM = [0.01, -0.01, 0.01, -0.01]
DEVIATION = float(np.std(CALM, ddof=1))


def classify(horizon: int = 3, **settings: Any) -> Problem:
    return problem_of(definition(window={"length": 1, "horizon": horizon}, problem={"kind": "classify", **settings}))


def path(*steps: float) -> pd.DataFrame:
    """Closes from 100 on: the calm, then log returns in units of the calm's deviation times the root of three."""
    moves = np.array([0.0, *CALM, *(np.array(steps) * DEVIATION * np.sqrt(3))])
    return pd.DataFrame({"entity": "A", "time": pd.bdate_range("2018-01-01", periods=len(moves)), "close": 100 * np.exp(np.cumsum(moves))})


TODAY = len(CALM)


def test_signs_by_hand() -> None:
    frame = pd.DataFrame(
        {
            "entity": ["A"] * 5 + ["B"] * 2,
            "time": pd.to_datetime(["2018-01-02", "2018-01-03", "2018-01-04", "2018-01-05", "2018-01-08", "2018-01-02", "2018-01-03"]),
            "close": [10.0, 11.0, 12.0, 11.0, 9.0, 1.0, 2.0],
        }
    )
    targets = classify(2).targets(frame, "XNYS")
    # 10 to 12 is up, 11 to 11 did not rise, 12 to 9 is down; the rest is not known, and nothing reaches into B
    np.testing.assert_array_equal(targets.values[:, 0], [1, 0, 0, np.nan, np.nan, np.nan, np.nan])
    assert targets.label_start[0] == np.datetime64("2018-01-03")
    assert targets.label_end[0] == np.datetime64("2018-01-04")
    assert np.isnat(targets.label_end[3:]).all()
    assert targets.target_time[4, 0] == np.datetime64("2018-01-10"), "the exchange's next sessions"
    np.testing.assert_array_equal(targets.origin, frame["close"])


@pytest.mark.parametrize(
    ("steps", "settings", "expected", "days"),
    [
        ((0.5, 0.6, -3.0), {}, 2.0, 2),  # over the upper barrier on day 2, whatever comes after
        ((0.5, -1.6, 5.0), {}, 0.0, 2),
        ((1.01, -5.0, 0.0), {}, 2.0, 1),
        ((0.5, -0.4, 0.3), {}, 1.0, 3),  # neither: flat, at the limit
        ((0.5, 0.4, 0.2), {}, 2.0, 3),  # on the last day
        ((0.5, 0.6, -3.0), {"upper": 2.0}, 0.0, 3),
        ((0.5, -0.8, 0.0), {"lower": 0.25}, 0.0, 2),
    ],
)
def test_barriers_by_hand(steps: tuple[float, ...], settings: dict[str, float], expected: float, days: int) -> None:
    frame = path(*steps)
    targets = classify(label="triple_barrier", volatility_window=4, **settings).targets(frame, None)
    assert targets.values[TODAY, 0] == expected
    assert targets.label_start[TODAY] == frame["time"][TODAY + 1].to_datetime64()
    assert targets.label_end[TODAY] == frame["time"][TODAY + days].to_datetime64()
    assert targets.target_time[TODAY, 0] == frame["time"][TODAY + 3].to_datetime64()
    assert np.isnan(targets.values[:TODAY, 0]).all(), "no volatility is known there yet"


def test_a_label_is_known_as_soon_as_a_barrier_is_touched() -> None:
    problem = classify(label="triple_barrier", volatility_window=4)
    assert problem.targets(path(0.5, 0.6), "XNYS").values[TODAY, 0] == 2.0
    assert np.isnan(problem.targets(path(0.5, 0.4), "XNYS").values[TODAY, 0])
    broken = path(0.5, 0.6, 0.0)
    broken.loc[TODAY + 1, "close"] = np.nan
    assert np.isnan(problem.targets(broken, "XNYS").values[TODAY, 0]), "who knows what it touched that day"


def test_no_label_crosses_a_gap() -> None:
    """Thirty days are missing; what was touched before them stays known."""
    frame = bars(60, ("A",))
    frame = frame.drop(index=range(30, 60)).reset_index(drop=True)
    late = bars(60, ("A",)).iloc[:30].copy()
    late["time"] = pd.bdate_range("2015-06-01", periods=30)
    whole = pd.concat([frame, late], ignore_index=True)
    for label in ("sign", "triple_barrier"):
        asked = definition(
            calendar="XNYS",
            window={"length": 2, "horizon": 3, "maximum_gap": 5},
            problem={"kind": "classify", "label": label, "volatility_window": 5},
        )
        index = build_samples(asked, whole).index
        before = index.take(index.time < np.datetime64("2015-05-01"))
        assert (before.label_end[before.labelled] < np.datetime64("2015-05-01")).all()
        assert before.labelled[:-3].sum() >= 15
        assert not before.labelled[-1]
        if label == "sign":
            assert not before.labelled[-3:].any()
        else:
            # five returns after the gap make the first volatility there
            after = index.take(index.time > np.datetime64("2015-05-01"))
            assert not after.labelled[:3].any()
            assert (index.label_end[index.labelled] < index.target_time[index.labelled, 0]).any(), "some spans end early"


def test_rows_and_back() -> None:
    problem = classify(label="triple_barrier")
    index = index_of(np.array([[0.0], [2.0]]))
    prediction = Prediction("probabilities", np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], dtype=np.float32))
    rows = problem.rows(prediction, index, ("A",))
    assert list(rows.columns) == ["entity", "time", "target_time", "horizon", "p_down", "p_flat", "p_up"]
    assert set(rows["horizon"]) == {3}
    np.testing.assert_array_equal(problem.answers(rows.iloc[::-1], index, ("A",)).values, prediction.values)
    signals = problem.signals(prediction)
    assert set(signals) == {"flat", "up"}
    np.testing.assert_allclose(signals["up"], [0.3, 0.8], rtol=1e-6)
    assert list(classify().rows(Prediction("probabilities", prediction.values[:, :2]), index, ("A",)).columns)[-2:] == ["p_down", "p_up"]


@pytest.mark.parametrize("label", ["sign", "triple_barrier"])
def test_no_future_leaks(label: str) -> None:
    asked = parse_definition(class_values(problem={"kind": "classify", "label": label}))
    report = check_rows(asked, asked.source.read(), pd.Timestamp("2017-08-31 22:00", tz="UTC"))
    assert [check.detail for check in report.checks if not check.passed] == []
    assert {"no model peeks", "shuffled labels give no skill"} <= {check.name for check in report.checks}
