"""Whether the future can change the past in features and samples, and whether a column knows its target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.models.revised import ABSENT
from finflow.models.samples import Float64, Samples
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.samples.windows import build_samples

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


#: a rank correlation with the target that no honest feature of a market has
IMPLAUSIBLE = 0.9
_MOST_SAMPLES = 20_000
_FEWEST_SAMPLES = 50
_KEYS = ("entity", "time", "known_at")


@dataclass(frozen=True, eq=False)
class AlteredFuture:
    """The clean rows with everything after `cut` (a date) changed, and the samples made of them."""

    what: str
    cut: np.datetime64
    clean: pd.DataFrame
    samples: Samples


def cut_dates(clean: pd.DataFrame, shares: tuple[float, ...] = (0.5, 0.75, 0.95)) -> list[np.datetime64]:
    """datetime64[D]: dates up to which these shares of all dates lie, the last date not among them."""
    dates = np.unique(clean["time"].to_numpy().astype("datetime64[D]"))
    places = sorted({min(int(share * len(dates)), len(dates) - 2) for share in shares})
    return [dates[place] for place in places if place >= 0]


def worlds_without_future(definition: Definition, clean: pd.DataFrame, cut: np.datetime64, seed: int) -> list[AlteredFuture]:
    """The worlds in which everything after the cut is noise, and in which it is gone; so are outcomes that were known only after it."""
    clean = problem_of(definition).forget(clean, cut)
    noisy = replace_future(clean, cut, seed)
    shorter = clean[clean["time"].to_numpy().astype("datetime64[D]") <= cut]
    return [
        AlteredFuture(what, cut, frame, build_samples(definition, frame))
        for what, frame in (("replaced by noise", noisy), ("removed", shorter))
    ]


def replace_future(clean: pd.DataFrame, cut: np.datetime64, seed: int) -> pd.DataFrame:
    """The same rows, every number of those after `cut` replaced by positive noise of its column's size, everything else by what some row of
    the column holds."""
    random = np.random.default_rng(seed)
    after = clean["time"].to_numpy().astype("datetime64[D]") > cut
    changed = clean.copy()
    for column in clean.columns:
        if column in _KEYS:
            continue
        if not pd.api.types.is_numeric_dtype(clean[column]):
            places = np.arange(len(clean))
            places[after] = random.integers(0, len(clean), int(after.sum()))
            changed[column] = clean[column].array.take(places)
            continue
        values = clean[column].to_numpy(dtype=np.float64, copy=True)
        size = np.median(np.abs(values[np.isfinite(values)])) if np.isfinite(values).any() else 1.0
        values[after] = (size or 1.0) * random.lognormal(0.0, 0.5, int(after.sum()))
        changed[column] = values
    return changed


def changed_columns(original: Samples, world: AlteredFuture) -> tuple[str, ...]:
    """What differs, to the bit, up to the cut: names of observation columns, `(samples)` and `(targets)`."""
    return _changed_values(original, world) + _changed_index(original, world)


def _changed_values(original: Samples, world: AlteredFuture) -> tuple[str, ...]:
    left, right = original.observations, world.samples.observations
    mine, other = (np.flatnonzero(one.time.astype("datetime64[D]") <= world.cut) for one in (left, right))
    if len(mine) != len(other):
        return ("(rows)",)
    names = []
    for number, name in enumerate(left.columns):
        before, now = np.ascontiguousarray(left.values[mine, number]), np.ascontiguousarray(right.values[other, number])
        same = (before.view(np.uint32) == now.view(np.uint32)) | (np.isnan(before) & np.isnan(now))
        if not same.all():
            names.append(name)
    for name, block in left.blocks.items():
        if not np.array_equal(
            np.asarray(block)[mine], np.asarray(right.blocks[name])[other], equal_nan=np.asarray(block).dtype.kind == "f"
        ):
            names.append(name)
    return tuple(names)


def _changed_index(original: Samples, world: AlteredFuture) -> tuple[str, ...]:
    """Which samples there are up to the cut, and the targets whose labels had ended by then."""
    found = []
    parts = []
    for samples in (original, world.samples):
        kept = samples.index.take(samples.index.time.astype("datetime64[D]") <= world.cut)
        entities = np.asarray(samples.observations.entities, dtype=object)[kept.entity]
        parts.append((kept, entities, kept.label_end.astype("datetime64[D]") <= world.cut))
    (mine, my_entities, my_known), (other, other_entities, other_known) = parts
    if len(mine) != len(other) or (mine.time != other.time).any() or (my_entities != other_entities).any():
        return ("(samples)",)
    if (my_known != other_known).any() or not np.array_equal(mine.target[my_known], other.target[my_known], equal_nan=True):
        found.append("(targets)")
    return tuple(found)


def with_column(samples: Samples, name: str, values: Float64) -> Samples:
    """The samples with one more observation column that holds `values`, [n], at the samples' own rows."""
    column = np.full((len(samples.observations.values), 1), np.nan, dtype=np.float32)
    column[samples.own_places, 0] = values
    observations = samples.observations
    wider = np.ascontiguousarray(np.hstack([np.asarray(observations.values), column]))
    return replace(samples, observations=replace(observations, values=wider, columns=(*observations.columns, name)))


def knowing_columns(samples: Samples, names: tuple[str, ...]) -> dict[str, float]:
    """Columns whose value, or its change since the entity's last observation, ranks samples nearly as a target does.

    The outcomes are the targets and, where there are several, the steps between them: a column with the price of the day after tomorrow
    shows in the change of the column against the second step. Such a column holds the future already in the data; no shift made it.

    Returns:
        by column the largest absolute rank correlation (Spearman), where it is `IMPLAUSIBLE` or more.
    """
    labelled = np.flatnonzero(samples.index.labelled)
    if len(labelled) < _FEWEST_SAMPLES:
        return {}
    chosen = labelled[:: max(len(labelled) // _MOST_SAMPLES, 1)]
    target = samples.index.target[chosen].astype(np.float64)
    outcomes = _standard_ranks(np.hstack([target, np.diff(target, axis=1)]))
    before, own = samples.places(chosen, 2).T
    found = {}
    for name in names:
        column = np.asarray(samples.observations.values[:, samples.column(name)], dtype=np.float64)
        here = column[own]
        moved = np.where(before != ABSENT, here - column[before], np.nan)
        strongest = max(_strongest(here, outcomes), _strongest(moved, outcomes))
        if strongest >= IMPLAUSIBLE:
            found[name] = strongest
    return found


def _strongest(values: Float64, outcomes: Float64) -> float:
    known = np.isfinite(values)
    if known.sum() < _FEWEST_SAMPLES:
        return 0.0
    ranks = _standard_ranks(values[known, None])
    kept = outcomes if known.all() else _standard_ranks(outcomes[known])
    return float(np.abs(ranks[:, 0] @ kept).max())


def _standard_ranks(columns: Float64) -> Float64:
    """float64, [n, k]: average ranks of each column, with mean 0 and norm 1; all 0 where a column does not vary."""
    ranks = pd.DataFrame(columns).rank().to_numpy()
    ranks = ranks - ranks.mean(axis=0)
    norm = np.sqrt((ranks**2).sum(axis=0))
    return np.asarray(ranks / np.where(norm > 0, norm, 1.0))
