"""The digest of the window that a prediction was made from, for many windows at once.

Each observation row is hashed once; a window's digest is a polynomial of its rows' hashes, had from prefix sums (Rabin and Karp, 1987), so
that a million windows cost about as much as their rows. It shows changes, it is no guard against malice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.revised import ABSENT
from finflow.models.samples import Observations, Samples
from finflow.pipelines.core.digest import hashed

if TYPE_CHECKING:
    from pandas.api.extensions import ExtensionArray

UInt64 = NDArray[np.uint64]

#: windows that are looked at together
_CHUNK = 4096
_LANES = 2  # two independent 64-bit hashes make the 128 bits of a digest
_BASES = (0x9E3779B97F4A7C15, 0xD1342543DE82EF95)  # odd, hence invertible modulo 2^64
_SEEDS = (0x243F6A8885A308D3, 0x13198A2E03707344)


def window_digests(samples: Samples, context: int) -> UInt64:
    """Digest the `context` observations up to each sample's time, and the sample's entity and time.

    Every typed block of the observations counts, and the names of the columns. Rows before the entity's first do not exist and count
    nothing.

    Returns:
        uint64, [n, 2]; the same content gives the same digest wherever the rows stand and whatever else the observations hold.
    """
    observations, index = samples.observations, samples.index
    first = np.maximum(observations.first[index.entity], index.row - context + 1)
    needed = _needed_rows(first, index.row, observations.rows)
    place = np.cumsum(needed) - 1
    rows = np.flatnonzero(needed)
    behind = np.flatnonzero(observations.behind[index.row])
    digests = np.empty((len(index), _LANES), dtype=np.uint64)
    names = _entity_hashes(observations, context)
    time = index.time.astype("datetime64[ns]").astype(np.int64).view(np.uint64)
    for lane in range(_LANES):
        hashes = _row_hashes(observations, rows, observations.time[rows], _SEEDS[lane])
        powers, inverses = _powers(_BASES[lane], len(rows) + 1)
        sums = np.zeros(len(rows) + 1, dtype=np.uint64)
        np.cumsum(hashes * inverses[1:], out=sums[1:])
        last = place[index.row] + 1
        window = (sums[last] - sums[place[first]]) * powers[last]
        if len(behind):
            window[behind] = _each_window(samples, behind, context, lane)
        digests[:, lane] = _mix(_mix(window + np.uint64(_SEEDS[lane])) ^ names[index.entity, lane] ^ _mix(time))
    return digests


def as_text(digests: UInt64) -> list[str]:
    """Each digest as 32 hexadecimal digits."""
    text = digests.astype(">u8").tobytes().hex()
    width = 16 * _LANES
    return [text[start : start + width] for start in range(0, len(text), width)]


def as_column(digests: UInt64) -> ExtensionArray:
    """`as_text` as a pandas array of dtype str, without a Python object a digest."""
    import pyarrow as pa

    text = digests.astype(">u8").tobytes().hex().encode()
    ends = np.arange(len(digests) + 1, dtype=np.int64) * (16 * _LANES)
    return pd.array(pa.LargeStringArray.from_buffers(len(digests), pa.py_buffer(ends.tobytes()), pa.py_buffer(text)), dtype="str")


def date_digests(samples: Samples, context: int, digests: UInt64 | None = None) -> dict[np.datetime64, str]:
    """By date (datetime64[D]), one digest of all windows that end on it, whatever their order.

    Args:
        digests: the `window_digests` of these samples, where they are at hand.
    """
    if not len(samples):
        return {}
    dates = samples.index.time.astype("datetime64[D]")
    order = np.argsort(dates, kind="stable")
    mixed = _mix(window_digests(samples, context) if digests is None else digests)[order]
    found, starts, counts = np.unique(dates[order], return_index=True, return_counts=True)
    totals = _mix(np.add.reduceat(mixed, starts, axis=0) + counts.astype(np.uint64)[:, None])
    return dict(zip(found, as_text(totals), strict=True))


def _needed_rows(first: NDArray[np.int64], last: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """bool, [rows]: the rows that some window reads."""
    edges = np.zeros(count + 1, dtype=np.int64)
    np.add.at(edges, first, 1)
    np.add.at(edges, last + 1, -1)
    return np.cumsum(edges[:-1]) > 0


def _each_window(samples: Samples, positions: NDArray[np.int64], context: int, lane: int) -> UInt64:
    """uint64, [positions]: the polynomial of each window by itself, where samples knew other versions of rows than is known now."""
    observations, revised = samples.observations, samples.observations.revised
    assert revised is not None
    powers = _powers(_BASES[lane], context)[0][::-1]
    found = np.empty(len(positions), dtype=np.uint64)
    for start in range(0, len(positions), _CHUNK):
        places = samples.places(positions[start : start + _CHUNK], context)
        used, where = np.unique(places, return_inverse=True)
        there = used != ABSENT
        hashes = np.zeros(len(used), dtype=np.uint64)
        hashes[there] = _row_hashes(observations, used[there], observations.time[revised.row_of(used[there])], _SEEDS[lane])
        found[start : start + _CHUNK] = (hashes[where.reshape(places.shape)] * powers).sum(axis=1, dtype=np.uint64)
    return found


def _row_hashes(observations: Observations, rows: NDArray[np.int64], time: NDArray[np.datetime64], seed: int) -> UInt64:
    """uint64, [rows]: a hash of every typed value that stands at each place, and of the row's time."""
    total = _mix(time.astype("datetime64[ns]").astype(np.int64).view(np.uint64) + np.uint64(seed))
    blocks: list[tuple[str, NDArray[Any]]] = [("", observations.values)]
    blocks += [(name, np.asarray(observations.blocks[name])) for name in sorted(observations.blocks)]
    for _, block in blocks:
        taken = np.asarray(block[rows]).reshape(len(rows), -1)
        for column in range(taken.shape[1]):
            # multiplying by an odd number before each mix makes the columns' order count
            total = _mix(total * np.uint64(_BASES[0]) + _words(taken[:, column]))
    return total


def _words(column: NDArray[Any]) -> UInt64:
    """uint64: the values' bits; every NaN alike, and minus zero as zero."""
    if column.dtype.kind == "f":
        wide = column.astype(np.float64) + 0.0
        wide[np.isnan(wide)] = np.nan
        return wide.view(np.uint64)
    if column.dtype.kind in "iub":
        return column.astype(np.int64).view(np.uint64)
    texts = column.astype(str)
    unique, inverse = np.unique(texts, return_inverse=True)
    return np.frombuffer(b"".join(hashed(str(text), 8) for text in unique), dtype="<u8").astype(np.uint64)[inverse]


def _entity_hashes(observations: Observations, context: int) -> UInt64:
    """uint64, [entities, 2]: the entity's name, with what all windows share."""
    shared = "\0".join([*observations.columns, "", *sorted(observations.blocks), "", str(context)])
    hashes = np.empty((len(observations.entities), _LANES), dtype=np.uint64)
    for code, entity in enumerate(observations.entities):
        hashes[code] = np.frombuffer(hashed(f"{shared}\0\0{entity}", 8 * _LANES), dtype="<u8")
    return hashes


def _powers(base: int, count: int) -> tuple[UInt64, UInt64]:
    """uint64, [count] each: base^0, base^1 ... modulo 2^64, and their inverses."""
    results = []
    for factor in (base, pow(base, -1, 2**64)):
        factors = np.full(count, factor, dtype=np.uint64)
        factors[0] = 1
        results.append(np.cumprod(factors))
    return results[0], results[1]


def _mix(values: UInt64) -> UInt64:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014): every bit of the input moves every bit of the output."""
    mixed = values ^ (values >> np.uint64(30))
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    mixed = mixed ^ (mixed >> np.uint64(27))
    mixed = mixed * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
