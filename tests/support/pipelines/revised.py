"""Rows that were revised and came late, and samples as they must be: each built of the rows known at its own instant, one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from finflow.models.samples import CATEGORIES, Samples
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.lake.as_of import latest_known
from finflow.pipelines.samples.windows import build_samples, outcome_column

Key = tuple[str, np.datetime64]


def withdrawn(revisions: pd.DataFrame, seed: int, share: float) -> pd.DataFrame:
    """The same revisions and, for a share of the rows, one more, up to 15 days after the last: the row is withdrawn."""
    random = np.random.default_rng(seed)
    last = revisions.drop_duplicates(["entity", "time"], keep="last")
    gone = last[random.random(len(last)) < share].copy()
    gone["known_at"] += pd.to_timedelta(random.integers(1, 15 * 86_400, len(gone)), unit="s").as_unit("us")
    both = pd.concat([revisions.assign(withdrawn=False), gone.assign(withdrawn=True)])
    return both.sort_values(["entity", "time", "known_at"], kind="stable", ignore_index=True)


def revised(
    definition: Definition, rows: pd.DataFrame, columns: tuple[str, ...], seed: int, share: float = 0.1, late: float = 0.0
) -> pd.DataFrame:
    """Every revision of rows: a share of them is revised up to 15 days later, some again, and another share arrives up to 10 days late.

    Args:
        rows: clean rows without `known_at`; what is not late comes at the publication of its session.
    """
    random = np.random.default_rng(seed)
    known = pd.Series(published(definition, pd.DatetimeIndex(rows["time"])), index=rows.index).astype("datetime64[us, UTC]")
    delay = np.where(random.random(len(rows)) < late, random.integers(1, 10 * 86_400, len(rows)), 0)
    parts = [rows.assign(known_at=known + pd.to_timedelta(delay, unit="s").as_unit("us"))]
    for _ in range(2):
        again = parts[-1][random.random(len(parts[-1])) < share].copy()
        for name in columns:
            if again[name].dtype.kind == "f":
                again[name] *= random.lognormal(0, 0.1, len(again))
            else:
                again[name] = random.permutation(rows[name])[: len(again)]
        again["known_at"] += pd.to_timedelta(random.integers(1, 15 * 86_400, len(again)), unit="s").as_unit("us")
        parts.append(again)
    return pd.concat(parts, ignore_index=True).sort_values(["entity", "time", "known_at"], kind="stable", ignore_index=True)


def latest_of(definition: Definition, revisions: pd.DataFrame) -> pd.DataFrame:
    """The latest revision of each row."""
    return latest_known(revisions, outcome=outcome_column(definition))


def built(definition: Definition, revisions: pd.DataFrame) -> Samples:
    """The samples of all revisions, in one pass."""
    return build_samples(definition, latest_of(definition, revisions), None, revisions)


def one_by_one(definition: Definition, revisions: pd.DataFrame) -> dict[Key, Samples]:
    """By entity and time, the sample built of nothing but the rows known at its own instant and dated not after it."""
    first = revisions.drop_duplicates(["entity", "time"])
    published_at = pd.Series(published(definition, pd.DatetimeIndex(first["time"])), index=first.index)
    instants = first["known_at"].where(first["known_at"] > published_at, published_at)
    found = {}
    for (time, known), group in first.assign(instant=instants).groupby(["time", "instant"]):
        samples = build_samples(
            definition, latest_of(definition, revisions[(revisions["known_at"] <= known) & (revisions["time"] <= time)])
        )
        for place in np.flatnonzero(samples.index.time == np.datetime64(time, "ns")):
            name = samples.observations.entities[samples.index.entity[place]]
            if name in set(group["entity"]):
                found[name, samples.index.time[place]] = samples.take(np.array([place]))
    return found


def assert_as_known(samples: Samples, expected: dict[Key, Samples], before: int = 0) -> None:
    """The same samples, and of each to the bit the same window, and `before` observations before it."""
    names = samples.observations.entities
    pairs = zip(samples.index.entity, samples.index.time, strict=True)
    found = {(names[entity], time): np.array([place]) for place, (entity, time) in enumerate(pairs)}
    assert set(found) == set(expected)
    for key, alone in expected.items():
        for length in (samples.length, samples.length + before):
            np.testing.assert_array_equal(samples.gather(found[key], length), alone.gather(length=length), err_msg=str(key))
            if CATEGORIES in samples.observations.blocks:
                codes = samples.gather_categories(found[key], length)
                np.testing.assert_array_equal(codes, alone.gather_categories(length=length), err_msg=str(key))
