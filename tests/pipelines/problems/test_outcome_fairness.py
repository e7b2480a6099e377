"""Figures by group counted by hand, their intervals, and the limits that refuse a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from finflow.pipelines.problems.outcome_fairness import Decided, fairness_checks, group_figures
from finflow.pipelines.statistics.bootstrap import Resampling


def figure(table: pd.DataFrame, group: str, name: str) -> pd.Series:
    (found,) = [row for _, row in table[(table["group"] == group) & (table["figure"] == name)].iterrows()]
    return found


def by_hand() -> pd.DataFrame:
    """Group a: flagged 2 of 3 that came and 1 of 3 that did not; group b: 1 of 1 and 1 of 3."""
    code = np.array([1, 1, 1, 0, 0, 0, 1, 0, 0, 0])
    flagged = np.array([1, 1, 0, 1, 0, 0, 1, 1, 0, 0], dtype=bool)
    probability = np.where(flagged, 0.8, 0.2)
    groups = {"sex": np.array(["a"] * 6 + ["b"] * 4)}
    return group_figures(Decided(probability, code, flagged, np.arange(10)), groups, None)


def test_figures_by_hand() -> None:
    table = by_hand()
    assert list(dict.fromkeys(table["group"])) == ["a", "b"], "the largest group first"
    expected = {
        "base_rate": (3 / 6, 1 / 4),
        "selection_rate": (3 / 6, 2 / 4),
        "true_positive_rate": (2 / 3, 1.0),
        "false_positive_rate": (1 / 3, 1 / 3),
        "mean_probability": (0.5, 0.5),
        "calibration": (0.0, 0.25),
    }
    for name, values in expected.items():
        assert [figure(table, group, name)["value"] for group in "ab"] == pytest.approx(values), name
    assert figure(table, "b", "true_positive_rate")["difference"] == pytest.approx(1 / 3)
    assert figure(table, "b", "true_positive_rate")["ratio"] == pytest.approx(1.5)
    assert np.isnan(figure(table, "a", "true_positive_rate")["difference"]), "the largest group is what others are held against"
    assert figure(table, "b", "auc")["value"] == roc_auc_score([1, 0, 0, 0], [0.8, 0.8, 0.2, 0.2])
    assert list(table["base"][table["group"] == "b"]) == [4, 4, 1, 3, 4, 4, 1]
    assert table["small"].all()


def test_intervals_hold_what_is_true() -> None:
    """Two groups of which one is flagged more often by 0.1: in about 95 of 100 tables the interval holds that."""
    random = np.random.default_rng(0)
    held = []
    for _ in range(100):
        second = random.random(1500) < 0.4
        flagged = random.random(1500) < 0.3 + 0.1 * second
        decided = Decided(flagged * 0.9, (random.random(1500) < 0.5).astype(np.int64), flagged, np.arange(1500))
        draws = Resampling(random.integers(0, 100, 1500), block=1, replications=200, seed=1)
        one = figure(group_figures(decided, {"g": np.where(second, "b", "a")}, draws), "b", "selection_rate")
        held.append(one["difference_low"] <= 0.1 <= one["difference_high"])
    assert 88 <= sum(held) <= 99


def test_a_group_of_one_class_has_no_value_where_there_is_none() -> None:
    decided = Decided(np.linspace(0, 1, 8), np.array([0, 0, 0, 0, 0, 1, 0, 1]), np.zeros(8, dtype=bool), np.arange(8))
    draws = Resampling(np.arange(8), block=1, replications=50, seed=0)
    table = group_figures(decided, {"g": np.array(["a"] * 5 + ["b"] * 3)}, draws)
    for name in ("true_positive_rate", "auc"):
        assert np.isnan(figure(table, "a", name)["value"])
        assert figure(table, "a", name)["small"]
        assert np.isnan(figure(table, "b", name)["difference"])
    assert np.isfinite(figure(table, "a", "calibration")["value"])


def groups_of(rates: dict[str, float], rows: int = 200) -> pd.DataFrame:
    """Groups flagged at these rates, whatever came."""
    flagged = np.concatenate([np.arange(rows) < rate * rows for rate in rates.values()])
    code = np.tile(np.array([0, 1]), len(flagged) // 2)
    return group_figures(Decided(flagged * 1.0, code, flagged, np.arange(len(code))), {"sex": np.repeat(list(rates), rows)}, None)


@pytest.mark.parametrize(
    ("limits", "passed", "value"),
    [
        ({"selection_rate": 0.2}, True, 0.2),
        ({"selection_rate": 0.19}, False, 0.2),
        ({"selection_ratio": 0.6}, True, 0.6),
        ({"selection_ratio": 0.61}, False, 0.6),
        ({"acceptance_ratio": 0.7}, True, 0.5 / 0.7),
        ({"acceptance_ratio": 0.8}, False, 0.5 / 0.7),
        ({"equal_opportunity": 0.2}, True, 0.2),
        ({"false_positive_rate": 0.1}, False, 0.2),
        ({"auc": 0.0}, True, 0.0),
    ],
)
def test_limits(limits: dict[str, float], passed: bool, value: float) -> None:
    (check,) = fairness_checks(groups_of({"f": 0.5, "m": 0.3, "x": 0.4}), limits)
    assert check.name == f"fairness_{next(iter(limits))}"
    assert check.figures["sex"] == pytest.approx(value, abs=1e-9)
    assert check.passed is passed, check.words


def test_calibration_is_held_against_each_group() -> None:
    (check,) = fairness_checks(groups_of({"f": 0.9, "m": 0.5}), {"calibration": 0.1})
    assert not check.passed
    assert check.figures["sex"] == pytest.approx(0.4)
    assert "(f)" in check.words


def test_small_groups_are_left_out_and_named_and_nothing_to_judge_fails() -> None:
    table = groups_of({"f": 0.5, "m": 0.5})
    few = groups_of({"x": 1.0}, rows=20)
    (check,) = fairness_checks(pd.concat([table, few], ignore_index=True), {"selection_rate": 0.1})
    assert check.passed
    assert "too small to judge: x" in check.words
    (check,) = fairness_checks(by_hand(), {"equal_opportunity": 0.9})
    assert not check.passed
    assert "cannot be judged" in check.words
