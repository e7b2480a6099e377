"""Every sample observes what was known at its own instant: the same, to the bit, as if it were built of the rows known then alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finflow.models.networks.batches import Batches, prepare
from finflow.models.networks.scaling import fit_scaling, rows_read
from finflow.models.reading import known_rows, past
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.fits.data import cut, digest_of
from finflow.pipelines.samples.digests import window_digests
from finflow.pipelines.samples.store import open_samples, write_samples
from finflow.pipelines.samples.windows import build_samples, task_of
from finflow.pipelines.scoring.rows import narrowed
from tests.support.pipelines.bars import bars, definition
from tests.support.pipelines.revised import assert_as_known, built, latest_of, one_by_one, revised, withdrawn
from tests.support.risk_support import risk_values
from tests.support.row_support import loan_rows, loan_values

FEATURES = [
    {"kind": "log_return", "name": "return"},
    {"kind": "rolling_volatility", "window": 4, "name": "volatility"},
    {"kind": "value", "column": "volume", "name": "volume"},
]


def wanted(calendar: str | None = None, gap: int = 1) -> Definition:
    return definition(features=FEATURES, calendar=calendar, window={"length": 5, "horizon": 2, "maximum_gap": gap})


def revisions(
    made: Definition, seed: int = 1, share: float = 0.2, late: float = 0.1, entities: tuple[str, ...] = ("A", "B")
) -> pd.DataFrame:
    rows = bars(40, entities=entities)
    kept = np.random.default_rng(seed).random(len(rows)) > 0.05
    return revised(made, rows[kept].reset_index(drop=True), ("close", "volume"), seed, share, late)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.05, 0.5]),
    late=st.sampled_from([0.0, 0.05, 0.4]),
    calendar=st.sampled_from([None, "XNYS"]),
    gap=st.integers(0, 3),
    entities=st.sampled_from([("A",), ("A", "B")]),
)
def test_windows_are_those_of_the_rows_known_then(
    seed: int, share: float, late: float, calendar: str | None, gap: int, entities: tuple[str, ...]
) -> None:
    made = wanted(calendar, gap)
    rows = revisions(made, seed, share, late, entities)
    assert_as_known(built(made, rows), one_by_one(made, rows), before=12)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gone=st.sampled_from([0.03, 0.3]),
    late=st.sampled_from([0.0, 0.2]),
)
def test_a_row_that_was_withdrawn_is_there_for_who_was_known_before(seed: int, gone: float, late: float) -> None:
    made = wanted("XNYS")  # without a calendar a date that every entity withdrew is no session any more, for earlier samples neither
    rows = withdrawn(revisions(made, seed, 0.1, late), seed, gone)
    assert_as_known(built(made, rows), one_by_one(made, rows), before=12)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), late=st.sampled_from([0.0, 0.2]), gone=st.sampled_from([0.0, 0.1]))
def test_features_of_earlier_rows_by_key_are_those_known_then(seed: int, late: float, gone: float) -> None:
    made = definition(
        features=[
            {"kind": "log_return", "name": "return"},
            {"kind": "mean_before", "column": "volume", "key": "desk", "days": 10, "name": "mean"},
        ]
    )
    rows = bars(15, entities=("A", "B", "C"))
    rows["desk"] = np.where(np.arange(len(rows)) % 2, "x", "y")
    rows = withdrawn(revised(made, rows, ("close", "volume"), seed, 0.1, late), seed, gone)
    assert_as_known(built(made, rows), one_by_one(made, rows), before=5)


def test_an_amount_is_that_known_with_the_row_and_not_the_one_that_came_with_the_outcome() -> None:
    made = parse_definition(loan_values(Path("loans.csv")))
    rows = loan_rows(60)
    known = rows["time"].dt.tz_localize("UTC") + pd.Timedelta(days=1)
    first = rows.assign(known_at=known, defaulted=np.nan)
    told = rows.assign(known_at=known + pd.Timedelta(days=90))
    told.loc[::3, "amount"] *= 2
    every = pd.concat([first, told]).sort_values(["entity", "time", "known_at"], ignore_index=True)
    samples = built(made, every)
    plain = build_samples(made, latest_of(made, every))
    place = samples.column("amount")
    np.testing.assert_array_equal(samples.gather(length=1)[:, 0, place], rows.sort_values(["entity", "time"])["amount"].astype(np.float32))
    np.testing.assert_array_equal(samples.targets, plain.targets)
    assert samples.observations.revised is not None
    assert len(samples.observations.revised.row) == 20, "a revision that brings the outcome alone makes no version"
    np.testing.assert_array_equal(samples.index.origin, plain.index.origin)


def test_without_revisions_nothing_is_otherwise() -> None:
    made = wanted()
    rows = revisions(made, share=0.0, late=0.0)
    with_history, without = built(made, rows), build_samples(made, rows)
    assert with_history.observations.revised is None
    np.testing.assert_array_equal(with_history.observations.values, without.observations.values)


def test_targets_and_their_level_are_of_the_latest_revisions() -> None:
    made = wanted()
    rows = revisions(made, late=0.0)
    samples, latest = built(made, rows), build_samples(made, latest_of(made, rows))
    mine, other = (pd.MultiIndex.from_arrays([one.index.entity, one.index.time]) for one in (samples, latest))
    place = other.get_indexer(mine)
    np.testing.assert_array_equal(samples.targets[place >= 0], latest.targets[place[place >= 0]])
    np.testing.assert_array_equal(samples.index.origin[place >= 0], latest.index.origin[place[place >= 0]])
    assert (samples.gather()[place >= 0] != latest.gather()[place[place >= 0]]).any()


def test_whoever_reads_samples_reads_them_as_they_were_known(tmp_path: Path) -> None:
    made = wanted()
    rows = revisions(made)
    samples, expected = built(made, rows), one_by_one(made, rows)
    write_samples(samples, tmp_path / "samples", {})
    opened = open_samples(tmp_path / "samples")
    assert_as_known(opened, expected, before=12)
    names = samples.observations.entities
    for place in range(len(samples)):
        one = samples.take(np.array([place]))
        alone = expected[names[one.index.entity[0]], one.index.time[0]]
        np.testing.assert_array_equal(past(one, "return", 12), past(alone, "return", 12))
        np.testing.assert_array_equal(window_digests(one, 12), window_digests(alone, 12))
        np.testing.assert_array_equal(window_digests(narrowed(one, 12), 12), window_digests(alone, 12))
        mine, theirs = (np.concatenate([part.observations.values[rows] for rows in known_rows(part)]) for part in (one, alone))
        np.testing.assert_array_equal(mine, theirs)
    parts = np.split(np.arange(len(samples)), 2)
    for part, copied in zip(parts, cut(samples, parts, 12, tmp_path), strict=True):
        np.testing.assert_array_equal(copied.gather(length=12), samples.gather(part, 12))


def test_networks_draw_and_scale_what_was_known() -> None:
    made = wanted()
    samples = built(made, revisions(made))
    task = task_of(made, samples.columns)
    labelled = samples.take(samples.index.labelled)
    scaling = fit_scaling("standard", labelled, task, labelled.targets.astype(np.float64))
    read = np.unique(labelled.places())
    np.testing.assert_array_equal(rows_read(labelled), read)
    windows = samples.gather()[:, :, task.feature_positions]
    expected = scaling.features(windows.copy())
    ready = prepare(samples, scaling, task)
    assert ready is not None
    for prepared in (None, ready):
        batches = Batches(samples, scaling, task, prepared=prepared)
        np.testing.assert_array_equal(batches.draw(np.arange(len(samples))), expected)
    np.testing.assert_array_equal(ready[batches.places(np.arange(len(samples)))], expected)


def test_a_fit_holds_nothing_that_its_samples_did_not_know(tmp_path: Path) -> None:
    made = wanted()
    samples = built(made, revisions(made))
    early = np.flatnonzero(samples.index.time < np.datetime64("2015-02-02"))
    copied = cut(samples, [early], 12, tmp_path)[0]
    names = copied.observations.entities
    frame = revisions(made)
    for code, name in enumerate(names):
        rows = samples.index.row[early][samples.index.entity[early] == samples.observations.entities.index(name)]
        assert samples.observations.revised is not None
        view = frame[frame["known_at"] <= pd.Timestamp(samples.observations.revised.known[rows].max(), tz="UTC")]
        alone = build_samples(made, latest_of(made, view)).observations
        begin, end = alone.first[code : code + 2]
        first, last = copied.observations.first[code : code + 2]
        times = copied.observations.time[first:last]
        kept = np.isin(times, alone.time[begin:end])
        expected = alone.values[begin:end][np.isin(alone.time[begin:end], times)]
        np.testing.assert_array_equal(copied.observations.values[first:last][kept], expected)
        assert np.isnan(copied.observations.values[first:last][~kept]).all()


def test_a_fold_that_reads_another_revision_has_another_key() -> None:
    made = wanted()
    rows = revisions(made, late=0.0)
    changed = rows.copy()
    first = rows.duplicated(["entity", "time"], keep="last") & ~rows.duplicated(["entity", "time"])
    changed.loc[changed.index[first][3], "volume"] *= 3  # as it was before the revision; what is known last stays
    one, other = built(made, rows), built(made, changed)
    every = [np.arange(len(one))]
    np.testing.assert_array_equal(one.observations.values[: one.observations.rows], other.observations.values[: one.observations.rows])
    assert digest_of(one, every, 12) != digest_of(other, every, 12)


@pytest.mark.parametrize(("late", "gone"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.1)])
def test_a_portfolio_is_made_of_what_was_known(late: float, gone: float) -> None:
    made = parse_definition(risk_values(problem={"kind": "risk", "weights": {"A": 0.5, "B": 0.5}, "portfolio": "BOOK"}))
    rows = withdrawn(revised(made, bars(40), ("close",), 3, 0.1, late), 3, gone)
    samples = built(made, rows)
    assert samples.observations.revised is not None
    known = samples.observations.revised.known
    for place, row in enumerate(samples.index.row):
        view = rows[(rows["known_at"] <= pd.Timestamp(known[row], tz="UTC")) & (rows["time"] <= samples.index.time[place])]
        alone = build_samples(made, latest_of(made, view))
        np.testing.assert_array_equal(samples.gather(np.array([place]))[0], alone.gather()[-1])
