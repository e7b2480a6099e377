"""Clean rows as runs of consecutive observations: what features and targets look back and ahead in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.errors import DefinitionError

Float64 = NDArray[np.float64]

#: int64 column of a clean frame: it changes with the entity and at every gap that the definition forbids
SEGMENT = "__segment"
Int64 = NDArray[np.int64]
#: the clean columns that are a key together
Key = tuple[str, ...]
DAY = 86_400 * 10**9  # nanoseconds
_NEVER = np.iinfo(np.int64).min  # how numpy writes NaT


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What came of each row, and when that became known.

    Attributes:
        positive: float64, [rows]; 1 where it is of the positive class, 0 where not, NaN where that is not known.
        known: datetime64[ns], [rows]; the instant from which it is known, NaT where it is not.
    """

    positive: Float64
    known: NDArray[np.datetime64]


class Panel:
    """Clean rows sorted by entity and time, column by column. An entity begins anew after a gap that the definition forbids.

    Attributes:
        first: int64, [runs + 1]; where each run of rows begins (see `first_rows`), and the end.
        age: int64, [rows]; observations of the run before this one.
    """

    def __init__(self, clean: pd.DataFrame, outcomes: Callable[[pd.DataFrame], Outcomes | None] | None = None) -> None:
        """Lay out the rows.

        Args:
            outcomes: what says the outcomes of the rows, where a feature asks for them (see `Problem.outcomes`).
        """
        self.clean = clean
        self._outcomes_of = outcomes
        self.first = first_rows(clean)
        self.age = np.arange(len(clean)) - np.repeat(self.first[:-1], np.diff(self.first))

    def __getitem__(self, column: str) -> Float64:
        """float64, [rows]: a clean column.

        Raises:
            DefinitionError: there is none, or it holds no numbers.
        """
        if column not in self.clean.columns:
            there = ", ".join(str(name) for name in self.clean.columns if name not in ("entity", "time", "known_at", "period", SEGMENT))
            raise DefinitionError(
                f"features: the data have no column {column!r}: there are {there}. Map it in the source's `columns`, or change the feature."
            )
        try:
            return self.clean[column].to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            raise DefinitionError(f"features: column {column!r} holds text, a feature needs numbers.") from None

    def column(self, name: str) -> pd.Series:
        """A clean column, numbers or text.

        Raises:
            DefinitionError: there is none.
        """
        if name not in self.clean.columns:
            there = ", ".join(str(name) for name in self.clean.columns)
            raise DefinitionError(
                f"features: the data have no column {name!r}: there are {there}. Map it in the source's `columns`, or change the feature."
            )
        return self.clean[name]

    @cached_property
    def past(self) -> Past:
        """The rows by key, for features of what a key did before."""

        return Past(self)

    @cached_property
    def outcomes(self) -> Outcomes:
        """What came of each row, by the problem.

        Raises:
            DefinitionError: the problem has no outcomes of rows.
        """
        outcomes = self._outcomes_of(self.clean) if self._outcomes_of else None
        if outcomes is None:
            raise DefinitionError(
                "features: outcomes of earlier rows are asked for, and this kind of problem has none: use `kind: outcome`."
            )
        return outcomes

    @property
    def time(self) -> NDArray[np.datetime64]:
        return self.clean["time"].to_numpy().astype("datetime64[ns]")

    def previous(self, values: Float64, steps: int = 1) -> Float64:
        """The entity's value `steps` observations earlier (later where negative), NaN where it has none."""
        moved = np.full(len(values), np.nan)
        if steps == 0:
            return values.copy()
        if abs(steps) >= len(values):
            return moved
        if steps > 0:
            moved[steps:] = values[:-steps]
            moved[self.age < steps] = np.nan
        else:
            moved[:steps] = values[-steps:]
            left = np.repeat(self.first[1:] - 1, np.diff(self.first)) - np.arange(len(values))
            moved[left < -steps] = np.nan
        return moved

    def rolling_mean(self, values: Float64, window: int) -> Float64:
        """The mean of the last `window` values of the entity; NaN where there are fewer, or where one is NaN."""
        # added term by term: running sums would carry rounding from rows long past into every later value
        total = values.copy()
        for step in range(1, window):
            total += self.previous(values, step)
        return total / window

    def rolling_deviation(self, values: Float64, window: int) -> Float64:
        """The standard deviation (ddof 1) of the last `window` values, as `rolling_mean`."""
        mean = self.rolling_mean(values, window)
        total = (values - mean) ** 2
        for step in range(1, window):
            total += (self.previous(values, step) - mean) ** 2
        return np.sqrt(total / (window - 1))


def first_rows(clean: pd.DataFrame) -> NDArray[np.int64]:
    """int64, [runs + 1]: where each run of rows begins in a frame sorted by entity and time, and the end; [0] for an empty frame.

    A run is an entity's rows; where the frame has a column `__segment`, its rows between two gaps that the definition forbids.
    """
    if not len(clean):
        return np.zeros(1, dtype=np.int64)
    entity = clean["entity"].to_numpy()
    changes = entity[1:] != entity[:-1]
    if SEGMENT in clean.columns:
        segment = clean[SEGMENT].to_numpy()
        changes = changes | (segment[1:] != segment[:-1])
    return np.concatenate(([0], np.flatnonzero(changes) + 1, [len(entity)])).astype(np.int64)


class Before:
    """Of every row, which of its key's events lie strictly before the row's instant.

    Events are kept sorted by key and instant, so that those of any window are one run of them.

    Attributes:
        order: int64, [events]; the rows whose events they are, sorted by key and instant.
    """

    def __init__(self, key: Int64, time: Int64, happened: Int64) -> None:
        """Lay out the events, one a row at most.

        Args:
            key: int64, [rows]; code of each row's key, -1 where it has none: it neither asks nor is counted.
            time: int64, [rows]; nanoseconds, the instant at which each row asks.
            happened: int64, [rows]; nanoseconds, the instant of each row's own event; `NaT`'s number where there is none.
        """
        there = np.flatnonzero((happened != _NEVER) & (key >= 0))
        self._key, self._time = key, time
        self._instants = np.unique(happened[there])
        self._width = len(self._instants) + 1
        events = key[there] * self._width + np.searchsorted(self._instants, happened[there])
        sorting = np.argsort(events, kind="stable")
        self.order: Int64 = there[sorting]
        self._events = events[sorting]
        self._found: dict[int | None, Int64] = {}

    def count_until(self, days: int | None = 0) -> Int64:
        """int64, [rows]: how many of the sorted events come before those of the row's key at `days` days before the row, or later.

        None: before all of the key's events. So the events of the last `days` days are those from `count_until(days)` to `count_until(0)`.
        """
        if days not in self._found:
            if days is None:
                rank: Int64 | int = 0
            else:
                rank = np.searchsorted(self._instants, self._time - days * DAY)
            self._found[days] = np.searchsorted(self._events, np.maximum(self._key, 0) * self._width + rank).astype(np.int64)
        return self._found[days]

    def count(self, days: int | None) -> Int64:
        """int64, [rows]: the key's events within `days` days before the row (None: however long before)."""
        return self.count_until(0) - self.count_until(days)

    def total(self, values: Int64, days: int | None) -> Int64:
        """int64, [rows]: the sum of `values` (int64, [rows]) over the same events: exact, since wrapped integers still subtract."""
        running = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values[self.order])])
        return np.asarray(running[self.count_until(0)] - running[self.count_until(days)])


class Past:
    """A panel's rows by key, each key sorted once however many features ask for it.

    Attributes:
        time: int64, [rows]; nanoseconds.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self.time: Int64 = panel.time.astype(np.int64)
        self._keys: dict[Key, Int64] = {}
        self._rows: dict[Key, Before] = {}
        self._outcomes: dict[tuple[Key, int | None], Before] = {}

    def key(self, names: Key) -> Int64:
        """int64, [rows]: a code for each value of the clean columns together, -1 where one is missing."""
        if names not in self._keys:
            code: Int64 = pd.factorize(self._panel.column(names[-1]))[0].astype(np.int64)
            if len(names) > 1:
                first = self.key(names[:-1])
                both = np.where((first < 0) | (code < 0), -1, first * (code.max(initial=0) + 1) + code)
                code = np.unique(np.append(both, -1), return_inverse=True)[1][:-1].astype(np.int64) - 1
            self._keys[names] = code
        return self._keys[names]

    def rows(self, key: Key) -> Before:
        """The key's earlier rows."""
        if key not in self._rows:
            self._rows[key] = Before(self.key(key), self.time, self.time)
        return self._rows[key]

    def outcomes(self, key: Key, delay_days: int | None) -> Before:
        """The key's earlier outcomes, each at the instant it became known, `delay_days` after its row at the earliest."""
        if (key, delay_days) not in self._outcomes:
            outcomes = self._panel.outcomes
            known_at = outcomes.known.astype("datetime64[ns]").astype(np.int64)
            earliest = self.time + (delay_days or 0) * DAY
            absent = (known_at == _NEVER) | np.isnan(outcomes.positive)
            self._outcomes[key, delay_days] = Before(self.key(key), self.time, np.where(absent, _NEVER, np.maximum(known_at, earliest)))
        return self._outcomes[key, delay_days]
