"""Digests of windows: one changed bit shows, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finflow.models.samples import Observations, SampleIndex, Samples
from finflow.pipelines.samples.digests import as_column, as_text, date_digests, window_digests


def view(rows: dict[str, int] | None = None, length: int = 5, seed: int = 0, columns: int = 3) -> Samples:
    """Samples of made-up entities of so many rows each, one sample at every full window."""
    rows = rows or {"A": 30, "B": 20, "C": 25}
    parts, times = [], []
    for entity, count in rows.items():
        random = np.random.default_rng([seed, *entity.encode()])
        parts.append(random.normal(size=(count, columns)).astype(np.float32))
        times.append(np.datetime64("2020-01-01", "ns") + np.arange(count) * np.timedelta64(1, "D"))
    first = np.concatenate(([0], np.cumsum(list(rows.values())))).astype(np.int64)
    time = np.concatenate(times)
    observations = Observations(np.concatenate(parts), tuple("xyz"[:columns]), tuple(rows), first, time)
    row = np.concatenate([np.arange(first[e] + length - 1, first[e + 1]) for e in range(len(rows))])
    nat = np.full((len(row), 1), np.datetime64("NaT", "ns"))
    entity_codes = np.searchsorted(first, row, side="right") - 1
    target = np.full((len(row), 1), np.nan, dtype=np.float32)
    index = SampleIndex(row, time[row], nat[:, 0], nat[:, 0], entity_codes, target, nat, np.full(len(row), np.nan))
    return Samples(observations, index, length)


def keyed(samples: Samples, context: int) -> dict[tuple[str, str], str]:
    """Digest by entity and time."""
    names = [samples.observations.entities[code] for code in samples.index.entity]
    return dict(zip(zip(names, samples.index.time.astype(str), strict=True), as_text(window_digests(samples, context)), strict=True))


def test_every_window_has_a_digest_of_its_own() -> None:
    samples = view()
    texts = as_text(window_digests(samples, 5))
    assert len(texts) == len(samples) == len(set(texts))
    assert {len(text) for text in texts} == {32}


def test_the_digest_is_of_content_not_of_place() -> None:
    everything = keyed(view(), 5)
    alone = keyed(view({"B": 20}), 5)
    backwards = keyed(view({"C": 25, "B": 20, "A": 30}), 5)
    shorter = keyed(view({"A": 30, "B": 20, "C": 25}).take(np.array([3, 40, 7])), 5)
    assert alone.items() <= everything.items()
    assert backwards == everything
    assert shorter.items() <= everything.items()


@settings(max_examples=60, deadline=None)
@given(row=st.integers(0, 74), column=st.integers(0, 2), context=st.sampled_from([1, 5, 9, 40]))
def test_exactly_the_windows_that_hold_a_changed_value_change(row: int, column: int, context: int) -> None:
    before = view()
    values = before.observations.values.copy()
    values[row, column] = np.nextafter(values[row, column], np.float32(9))
    after = replace(before, observations=replace(before.observations, values=values))
    changed = (window_digests(before, context) != window_digests(after, context)).all(axis=1)
    first = before.observations.first
    entity = int(np.searchsorted(first, row, side="right") - 1)
    holds = (before.index.entity == entity) & (before.index.row >= row) & (before.index.row - context < row)
    np.testing.assert_array_equal(changed, holds)


def test_order_time_column_names_entity_and_blocks_count() -> None:
    base = view({"A": 5})
    digest = as_text(window_digests(base, 5))[0]
    observations = base.observations
    swapped_rows = observations.values[[1, 0, 2, 3, 4]]
    swapped_columns = observations.values[:, [1, 0, 2]]
    shifted = observations.time - np.timedelta64(1, "D")
    changes = [
        replace(observations, values=swapped_rows),
        replace(observations, values=swapped_columns),
        replace(observations, time=np.where(np.arange(5) == 2, shifted, observations.time)),
        replace(observations, columns=("x", "y", "w")),
        replace(observations, entities=("B",)),
        replace(observations, blocks={"code": np.arange(5)}),
        replace(observations, blocks={"code": np.array(["a", "b", "c", "d", "e"])}),
    ]
    found = [as_text(window_digests(replace(base, observations=changed), 5))[0] for changed in changes]
    assert len({digest, *found}) == len(changes) + 1


def test_nan_and_zero_have_one_digest_whatever_their_bits() -> None:
    samples = view({"A": 5})
    values = samples.observations.values.copy()
    values[0, 0], values[1, 1] = np.nan, 0.0
    other = values.copy()
    other[0, 0], other[1, 1] = -np.float32(np.nan), -0.0
    one, two = (replace(samples, observations=replace(samples.observations, values=array)) for array in (values, other))
    assert as_text(window_digests(one, 5)) == as_text(window_digests(two, 5))


def test_context_reaches_back_to_the_entitys_first_row_only() -> None:
    samples = view({"A": 6, "B": 6}, length=2)
    long, longer = keyed(samples, 6), keyed(samples, 6)
    assert long == longer
    moved = samples.observations.values.copy()
    moved[5] += 1  # the last row of A is no part of B's context, however long
    other = keyed(replace(samples, observations=replace(samples.observations, values=moved)), 6)
    assert {key for key in long if long[key] != other[key]} == {("A", "2020-01-06T00:00:00.000000000")}


def test_a_column_of_digests_is_their_texts() -> None:
    digests = window_digests(view(), 5)
    column = as_column(digests)
    assert str(column.dtype) == "str"
    assert list(column) == as_text(digests)
    assert list(as_column(digests[:0])) == []


def test_a_dates_digest_ignores_the_order_and_sees_every_window() -> None:
    samples = view()
    shuffled = samples.take(np.random.default_rng(1).permutation(len(samples)))
    assert date_digests(samples, 5) == date_digests(shuffled, 5)
    fewer = samples.take(np.flatnonzero(samples.index.entity != 1))
    both, one = date_digests(samples, 5), date_digests(fewer, 5)
    day = np.datetime64("2020-01-10")
    assert both[day] != one[day]
    assert both[np.datetime64("2020-01-28")] == one[np.datetime64("2020-01-28")]  # B has ended by then
    assert date_digests(samples.take(np.array([], dtype=np.int64)), 5) == {}
