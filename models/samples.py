"""The lazy view of samples that every model reads: one tensor of observations, and an index into it.

A window is never stored; it is gathered from the observations when a batch is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.revised import ABSENT, Revised

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Times = NDArray[np.datetime64]

#: the block of int64 codes of categories: one column a categorical feature, in the order of `Task.categories` (see
#: models/rows/categories.py)
CATEGORIES = "categories"


@dataclass(frozen=True, eq=False)
class Observations:
    """Every observation of a run, entity after entity, in time order within an entity.

    Attributes:
        values: float32, [rows + versions, columns], C-contiguous; may be memory-mapped. Rows as they are known last, and behind them
            earlier versions of some (see `revised`).
        columns: names of the columns of `values`.
        entities: names of the entities, in the order of their rows.
        first: int64, [entities + 1]; rows `first[e]:first[e + 1]` belong to entity e.
        time: datetime64[ns], [rows]; the observation's own time (a session's date at midnight, naive UTC).
        blocks: further typed arrays whose first axis is that of `values` (int64 codes, float64 levels), by name.
        revised: which samples read a version in place of a row; None where every sample reads the rows themselves.
    """

    values: Float32
    columns: tuple[str, ...]
    entities: tuple[str, ...]
    first: Int64
    time: Times
    blocks: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    revised: Revised | None = None

    @property
    def rows(self) -> int:
        """How many rows there are, versions not counted."""
        return int(self.first[-1])

    @property
    def entity(self) -> Int64:
        """int64, [rows]: each row's entity code."""
        return np.repeat(np.arange(len(self.entities)), np.diff(self.first))

    def first_read(self, row: Int64, entity: Int64, length: int) -> Int64:
        """int64, [n]: the first row that `length` observations up to each of the rows may stand in, not before its entity's first."""
        first = self.first[entity]
        if self.revised is None or not self.revised.absent.any():
            return np.maximum(row - length + 1, first)
        return self.revised.reaching(row, first, length)

    @cached_property
    def rows_as_known(self) -> Int64:
        """int64, [rows]: the place of each row as it was known at its own instant; its own where it was not there (values missing)."""
        rows = np.arange(self.rows)
        if self.revised is None:
            return rows
        places = self.revised.at(rows, self.revised.known)
        return np.where(places == ABSENT, rows, places)

    @cached_property
    def behind(self) -> NDArray[np.bool_]:
        """bool, [rows]: a sample that ends with the row knew less of the past than is known of it now."""
        if self.revised is None:
            return np.zeros(self.rows, dtype=bool)
        known = self.revised.known.astype("datetime64[ns]").astype(np.int64)
        return np.asarray(self.revised.behind(self.first) > known)


@dataclass(frozen=True, eq=False)
class SampleIndex:
    """What identifies each of n samples, and its targets.

    Attributes:
        row: int64, [n]; the sample's last observation row.
        time: datetime64[ns], [n]; the time of that row: the sample's as-of date.
        label_start, label_end: datetime64[ns], [n]; first and last time that the target depends on (NaT: not known yet).
        entity: int64, [n]; entity code.
        target: float32, [n, outputs]; NaN where not known yet.
        target_time: datetime64[ns], [n, outputs]; the date each output is about (a calendar's next sessions where not observed yet).
        origin: float64, [n]; the level that the target starts from (last price), or what is at stake (an amount), or NaN where neither has
            a meaning.
        groups: by name, text [n]: what a sample belongs to (a protected group), for reports alone: no model sees it.
    """

    row: Int64
    time: Times
    label_start: Times
    label_end: Times
    entity: Int64
    target: Float32
    target_time: Times
    origin: NDArray[np.float64]
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row)

    def take(self, positions: Int64 | NDArray[np.bool_]) -> SampleIndex:
        """The samples at `positions` (integers or a mask), in that order."""
        groups = {name: texts[positions] for name, texts in self.groups.items()}
        return SampleIndex(**{name: getattr(self, name)[positions] for name in ARRAYS}, groups=groups)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """bool, [n]: every target is known and finite."""
        return np.isfinite(self.target).all(axis=1) & ~np.isnat(self.label_end)


#: the fields of an index that are one array each
ARRAYS = ("row", "time", "label_start", "label_end", "entity", "target", "target_time", "origin")


@dataclass(frozen=True, eq=False)
class Samples:
    """A view of samples: observations, the index, and the window length. Copies nothing until gathered."""

    observations: Observations
    index: SampleIndex
    length: int

    def __len__(self) -> int:
        return len(self.index)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.observations.columns

    @property
    def targets(self) -> Float32:
        """float32, [n, outputs]."""
        return self.index.target

    def take(self, positions: Int64 | NDArray[np.bool_]) -> Samples:
        """The view of the samples at `positions`."""
        return replace(self, index=self.index.take(positions))

    def column(self, name: str) -> int:
        """The position of the column called `name`.

        Raises:
            KeyError: there is none; the message lists those there are.
        """
        try:
            return self.observations.columns.index(name)
        except ValueError:
            raise KeyError(f"no column {name!r} among {list(self.observations.columns)}") from None

    def gather(self, positions: Int64 | slice | None = None, length: int | None = None) -> Float32:
        """Copy out windows: float32, [batch, length, columns], each ending at its sample's row.

        `length` may reach back before the window (a volatility filter needs it). Rows before an entity's first are NaN.
        """
        return self._gather(self.observations.values, np.float32(np.nan), positions, length or self.length)

    def gather_categories(self, positions: Int64 | slice | None = None, length: int | None = None) -> Int64:
        """Copy out codes of categories: int64, [batch, length, categories]; as `gather`, with 0 (missing) before an entity's first row.

        Without a block of categories there are none: [batch, length, 0].
        """
        block = self.observations.blocks.get(CATEGORIES)
        if block is None:
            block = np.zeros((len(self.observations.values), 0), dtype=np.int64)
        return self._gather(block, np.int64(0), positions, length or self.length)

    def places(self, positions: Int64 | slice | None = None, length: int | None = None) -> Int64:
        """Where the windows stand in `values` and blocks: int64, [batch, length], each observation as known at its sample's instant.

        Args:
            length: observations up to each sample's row; the window's by default.

        Returns:
            ABSENT (-1) before an entity's first observation.
        """
        length = length or self.length
        row = self.index.row if positions is None else self.index.row[positions]
        wanted = row[:, None] + np.arange(1 - length, 1)
        first = self.observations.first[self.index.entity if positions is None else self.index.entity[positions]]
        if length > self.length:  # up to its own length a sample's window is whole
            wanted[wanted < first[:, None]] = ABSENT
        if self.observations.revised is not None:
            behind = np.flatnonzero(self.observations.behind[row])
            if len(behind):
                wanted[behind] = self.observations.revised.windows(row[behind], first[behind], length)
        return wanted

    @property
    def own_places(self) -> Int64:
        """int64, [n]: where each sample's own row stands, as it was known at the sample's instant."""
        return self.observations.rows_as_known[self.index.row]

    def _gather(self, source: NDArray[Any], absent: Any, positions: Int64 | slice | None, length: int) -> NDArray[Any]:
        places = self.places(positions, length)
        if length <= self.length:
            return np.asarray(source[places])
        windows = np.asarray(source[np.maximum(places, 0)])
        windows[places == ABSENT] = absent
        return windows


def from_windows(windows: Float32, columns: tuple[str, ...], length: int, outputs: int = 1, categories: Int64 | None = None) -> Samples:
    """View ready-made windows as samples without labels: what a served model gets.

    Args:
        windows: float32, [n, context, columns]; the context may be longer than `length`.
        categories: int64, [n, context, categories], where the task has some.

    Raises:
        ValueError: the shape does not fit.
    """
    windows = np.ascontiguousarray(windows, dtype=np.float32)
    if windows.ndim != 3 or windows.shape[2] != len(columns) or windows.shape[1] < length:
        expected = f"(any, at least {length}, {len(columns)}) for columns {list(columns)}"
        raise ValueError(f"windows have shape {windows.shape}; expected {expected}")
    count, context, _ = windows.shape
    nat = np.full(count, np.datetime64("NaT", "ns"))
    observations = Observations(
        values=windows.reshape(count * context, len(columns)),
        columns=columns,
        entities=tuple(str(number) for number in range(count)),
        first=np.arange(count + 1, dtype=np.int64) * context,
        time=np.full(count * context, np.datetime64("NaT", "ns")),
        blocks={} if categories is None else {CATEGORIES: _flat(categories, count * context)},
    )
    index = SampleIndex(
        row=np.arange(1, count + 1, dtype=np.int64) * context - 1,
        time=nat,
        label_start=nat,
        label_end=nat,
        entity=np.arange(count, dtype=np.int64),
        target=np.full((count, outputs), np.nan, dtype=np.float32),
        target_time=np.full((count, outputs), np.datetime64("NaT", "ns")),
        origin=np.full(count, np.nan),
    )
    return Samples(observations=observations, index=index, length=length)


def _flat(categories: Int64, rows: int) -> Int64:
    codes = np.ascontiguousarray(categories, dtype=np.int64)
    if codes.ndim != 3 or codes.shape[0] * codes.shape[1] != rows:
        raise ValueError(
            f"categories have shape {codes.shape}; expected as many windows and observations as the values have, {rows} in all"
        )
    return codes.reshape(rows, codes.shape[2])
