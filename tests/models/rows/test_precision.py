"""Average precision and its bootstrap, against scikit-learn."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from finflow.models.rows.precision import average_precision, bootstrap_precision


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60).filter(lambda rows: any(own for _, own in rows)))
def test_it_is_scikit_learns_with_ties_or_without(rows: list[tuple[int, bool]]) -> None:
    score, positive = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    np.testing.assert_allclose(average_precision(score, positive), average_precision_score(positive, score), rtol=1e-12)


def test_a_draw_is_the_average_precision_of_the_rows_that_it_draws() -> None:
    random = np.random.default_rng(0)
    scores, positive, cluster = random.normal(size=(2, 40)), random.random(40) < 0.3, np.repeat(np.arange(10), 4)
    found = bootstrap_precision(scores, positive, cluster, 3, seed=7)
    times = np.random.default_rng(7).multinomial(10, np.full(10, 0.1), size=3)
    for draw, own in enumerate(times):
        rows = np.repeat(np.arange(40), own[cluster])
        wanted = np.mean([average_precision_score(positive[rows], score[rows]) for score in scores])
        np.testing.assert_allclose(found[draw], wanted, rtol=1e-12)


def test_draws_are_paired_and_spread_as_draws_of_rows_do() -> None:
    random = np.random.default_rng(1)
    positive = random.random(400) < 0.2
    score = positive + random.normal(size=400)
    rows = np.arange(400)
    found = [bootstrap_precision(score[None], positive, rows, 400, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(found[0], found[1])
    by_hand = []
    for _ in range(400):
        drawn = random.integers(400, size=400)
        by_hand.append(average_precision_score(positive[drawn], score[drawn]))
    assert abs(found[0].mean() - np.mean(by_hand)) < 0.01
    assert 0.8 < found[0].std() / np.std(by_hand) < 1.25


def test_a_draw_without_a_row_of_the_class_counts_as_nothing() -> None:
    found = bootstrap_precision(np.array([[2.0, 1.0]]), np.array([True, False]), np.arange(2), 50, seed=0)
    assert set(found) >= {0.0, 1.0}
    assert np.isfinite(found).all()
