"""Monotone bins and their weights of evidence: by hand, against scikit-learn's isotonic regression, and for any counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from finflow.models.rows.binning import Evidence, Least, counted, fine_edges, information_value, monotone, places, rising

COUNTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=30).filter(
    lambda bins: sum(events for events, _ in bins) > 0 and sum(others for _, others in bins) > 0
)


def arrays(bins: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    events, others = np.array(bins, dtype=np.float64).T
    return events, events + others


def evidence_of(events: np.ndarray, rows: np.ndarray, smoothing: float = 1.0) -> Evidence:
    share = float(events.sum() / rows.sum())
    return Evidence(share, smoothing / min(share, 1 - share))


def test_weights_and_information_by_hand() -> None:
    """Three bins of 100 rows with 10, 20 and 60 events: 90 events of 300, and odds of 3 to 7 in all."""
    events, rows = np.array([10.0, 20.0, 60.0]), np.full(3, 100.0)
    plain = Evidence(0.3, 0.0)
    woe = plain.weight(events, rows)
    np.testing.assert_allclose(woe, np.log(np.array([10 / 90, 20 / 80, 60 / 40]) / (90 / 210)))
    np.testing.assert_allclose(woe, [-1.349927, -0.538997, 1.252763], atol=1e-6)
    # (10/90 - 90/210) * -1.349927 + (20/90 - 80/210) * -0.538997 + (60/90 - 40/210) * 1.252763
    assert information_value(events, rows, woe) == pytest.approx(0.428548 + 0.085556 + 0.596554, abs=1e-5)


def test_smoothing_adds_rows_at_the_base_rate() -> None:
    evidence = Evidence.of(np.array([1] * 3 + [0] * 7), smoothing=3.0)
    assert evidence.added == pytest.approx(10.0)
    assert evidence.rate(2, 5) == pytest.approx((2 + 3) / (5 + 10))
    np.testing.assert_allclose(evidence.weight(np.array([0.0, 3.0]), np.array([0.0, 10.0])), [0.0, 0.0], atol=1e-12)
    assert np.isfinite(evidence.weight(np.array([0.0, 4.0]), np.array([9.0, 4.0]))).all()


def test_without_least_the_groups_are_those_of_isotonic_regression() -> None:
    random = np.random.default_rng(4)
    for _ in range(50):
        rows = random.integers(1, 50, 25).astype(float)
        events = random.binomial(rows.astype(int), np.linspace(0.2, 0.5, 25)).astype(float)
        group = rising(events, rows, Least(0, 0), Evidence(0.3, 0.0).rate)
        rate = (counted(group, events) / counted(group, rows))[group]
        np.testing.assert_allclose(rate, IsotonicRegression().fit_transform(np.arange(25), events / rows, sample_weight=rows), atol=1e-12)


@given(COUNTS, st.floats(0, 0.5), st.integers(0, 40), st.floats(0.01, 50))
def test_rates_go_one_way_and_bins_hold_enough(bins: list[tuple[int, int]], share: float, least: int, smoothing: float) -> None:
    events, rows = arrays(bins)
    evidence = evidence_of(events, rows, smoothing)
    group = monotone(events, rows, Least(share * rows.sum(), least), evidence)
    assert len(group) == len(bins)
    assert group[0] == 0
    assert set(np.diff(group)) <= {0, 1}, "groups are neighbours"
    came, held = counted(group, events), counted(group, rows)
    steps = np.diff(evidence.weight(came, held))
    assert (steps > 0).all() or (steps < 0).all()
    if len(came) > 1:
        assert (held >= share * rows.sum()).all()
        assert (np.minimum(came, held - came) >= least).all()


@given(COUNTS)
def test_the_direction_is_the_datas(bins: list[tuple[int, int]]) -> None:
    events, rows = arrays(bins)
    evidence = evidence_of(events, rows)
    least = Least(0, 0)
    forward = monotone(events, rows, least, evidence)
    backward = monotone(events[::-1], rows[::-1], least, evidence)
    values = []
    for group, way in ((forward, slice(None)), (backward, slice(None, None, -1))):
        together = counted(group, events[way]), counted(group, rows[way])
        values.append(information_value(*together, evidence.weight(*together)))
    assert values[0] == pytest.approx(values[1])
    assert values[0] >= -1e-12


@given(st.lists(st.one_of(st.floats(width=32, allow_infinity=False), st.just(float("nan"))), min_size=1, max_size=60), st.integers(2, 12))
def test_every_value_has_a_place(values: list[float], bins: int) -> None:
    column = np.array(values)
    edges = fine_edges(column, bins)
    assert (np.diff(edges) > 0).all()
    assert len(edges) < bins
    place = places(column, edges)
    np.testing.assert_array_equal(np.isnan(column), place == len(edges) + 1)
    ends = np.append(edges, np.inf)
    known = ~np.isnan(column)
    assert (column[known] <= ends[place[known]]).all()
    assert (column[known] > np.insert(ends, 0, -np.inf)[place[known]]).all()
    assert set(range(len(edges) + 1)) <= set(place.tolist()) or not known.any(), "no bin is empty"
    np.testing.assert_array_equal(places(column.astype(np.float32), edges), place)
