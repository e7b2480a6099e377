"""Rows that were revised and came late, and samples as they must be: each built of the rows known at its own instant, one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from finflow.models.samples import CATEGORIES, Samples
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.lake.as_of import latest_known, latest_revisions
from finflow.pipelines.samples.windows import build_samples, outcome_column


def revised(
    definition: Definition, rows: pd.DataFrame, columns: tuple[str, ...], seed: int, share: float = 0.1, late: float = 0.0
) -> pd.DataFrame:
    """Every revision of rows: a share of them is revised up to 15 days later, once or more, and another share arrives late.

    Args:
        rows: clean rows without `known_at`; with them comes each at the publication of its session.
    """
    random = np.random.default_rng(seed)
    known = pd.Series(published(definition, pd.DatetimeIndex(rows["time"])), index=rows.index).astype("datetime64[us, UTC]")
    tardy = random.random(len(rows)) < late
    known = known + pd.to_timedelta(np.where(tardy, random.integers(1, 10 * 86_400, len(rows)), 0), unit="s").as_unit("us")
    parts = [rows.assign(known_at=known)]
    for _ in range(2):
        chosen = random.random(len(rows)) < share
        again = parts[-1][chosen].copy()
        for name in columns:
            again[name] = (
                again[name] * random.lognormal(0, 0.1, len(again))
                if again[name].dtype.kind == "f"
                else again[name].sample(frac=1, random_state=seed).to_numpy()
            )
        again["known_at"] += pd.to_timedelta(random.integers(1, 15 * 86_400, len(again)), unit="s").as_unit("us")
        parts.append(again.reset_index(drop=True) if False else again)
        parts[-1] = again
        rows = rows.loc[again.index]
    return pd.concat(parts, ignore_index=True).sort_values(["entity", "time", "known_at"], kind="stable", ignore_index=True)


def latest_of(definition: Definition, revisions: pd.DataFrame) -> pd.DataFrame:
    """The latest revision of each row."""
    return latest_known(revisions, outcome=outcome_column(definition))


def one_by_one(definition: Definition, revisions: pd.DataFrame) -> dict[tuple[str, np.datetime64], Samples]:
    """By entity and time, the sample built of nothing but the rows known at its own instant and dated not after it."""
    first = revisions.drop_duplicates(["entity", "time"])
    instants = np.maximum(
        pd.DatetimeIndex(first["known_at"]).as_unit("us").to_numpy(), published(definition, pd.DatetimeIndex(first["time"])).to_numpy()
    )
    found = {}
    pairs = pd.DataFrame(
        {
            "time": first["time"],
            "known": pd.DatetimeIndex(instants).tz_convert("UTC")
            if pd.DatetimeIndex(instants).tz
            else pd.DatetimeIndex(instants).tz_localize("UTC"),
        }
    )
    for (time, known), group in pairs.groupby(["time", "known"]):
        names = set(first.loc[group.index, "entity"])
        view = revisions[(revisions["known_at"] <= known) & (revisions["time"] <= time)]
        samples = build_samples(definition, latest_of(definition, view))
        for place in np.flatnonzero(samples.index.time == np.datetime64(time, "ns")):
            name = samples.observations.entities[samples.index.entity[place]]
            if name in names or len(samples.observations.entities) == 1:
                found[name, samples.index.time[place]] = samples.take(np.array([place]))
    return found


def assert_as_known(samples: Samples, expected: dict[tuple[str, np.datetime64], Samples], reach: int = 0) -> None:
    """The same samples, and of each the same window to the bit, reaching back `reach` observations more."""
    names = samples.observations.entities
    found = {
        (names[entity], time): place for place, (entity, time) in enumerate(zip(samples.index.entity, samples.index.time, strict=True))
    }
    assert set(found) == set(expected)
    length = samples.length + reach
    for key, alone in expected.items():
        place = np.array([found[key]])
        np.testing.assert_array_equal(samples.gather(place, length), alone.gather(length=length), err_msg=str(key))
        np.testing.assert_array_equal(samples.gather(place), alone.gather(), err_msg=str(key))
        if CATEGORIES in samples.observations.blocks:
            np.testing.assert_array_equal(samples.gather_categories(place, length), alone.gather_categories(length=length))
