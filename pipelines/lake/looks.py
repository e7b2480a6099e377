"""The table of looks: a row a look at test outcomes, one table for all definitions of a lake.

A look is recorded before any figure of its evaluation is computed: a run that is killed in between has spent it. It is counted by the data
that it looked at, not by a name: fingerprints of the rows whose outcomes were seen stand in the look's own row (those that no look before
had left), so that one commit holds all of it. Two looks at once get an order, and the second sees the first. The same run again finds its
own look.

Looks that were lost would begin the data afresh. So the table has a head, too, in the lake and beside MLflow's store (see
`finflow.pipelines.lake.heads`), and nothing is read from a table that does not go on from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.manifests import JsonRecord
from finflow.pipelines.lake.commits import commit_digests, committed_files
from finflow.pipelines.lake.conflicts import kept_writing, retry_conflicts
from finflow.pipelines.lake.heads import Head, Heads
from finflow.pipelines.lake.lake_files import LakeFiles
from finflow.pipelines.lake.looked_at import Found, Left, LookedAt, find_again, join_looked_at, packed

if TYPE_CHECKING:
    from finflow.pipelines.lake.fingerprints import OutcomeRows
    from finflow.pipelines.lake.lake import Lake

TABLE = "looks"
#: the name of the table's head, which no definition can have
HEAD = "_looks"
TRAINING, WALK, TRIAL, EARLIER = "training", "walk", "trial", "earlier"
_LISTS = ("recipes", "series")
_PACKED = ("hashes", "days", "places")


@dataclass(frozen=True)
class Look(JsonRecord):
    """One sight of test outcomes. Dates are YYYY-MM-DD of samples, instants ISO texts in UTC.

    Attributes:
        run_key: the training's; the same again is the same look.
        purpose: training, walk (a period of a walk forward), trial (on development folds) or earlier (decided before there was this table).
        says, column: what of which column the outcomes say (see `Problem.says`).
        recipes: digests of what was compared.
        features: digest of the samples' columns.
        dates, first_date, last_date: the test dates shown (entities, of rows without a time).
        unseen: test dates that nobody had looked at before.
        sealed: those of them that are shown nowhere.
        level: the definition's own at that time.
        challenge: the number of the challenge that it opened on these data; 0: none.
        spent: the level spent on it.
        decided_after: the challenge was decided on the dates after this one alone; None: on all.
        series: names of the series looked at; looks that share one are at the same data.
        sequence: from 1; `recorded_at`: both set when it is recorded.
    """

    run_key: str
    definition: str
    purpose: str
    problem: str
    says: str
    column: str
    recipes: tuple[str, ...]
    features: str
    loss: str
    horizon: int
    folds: int
    as_of: str
    dates: int
    first_date: str
    last_date: str
    unseen: int
    sealed: int
    level: float
    challenge: int = 0
    spent: float = 0.0
    decided_after: str | None = None
    series: tuple[str, ...] = ()
    sequence: int = 0
    recorded_at: str = ""


@dataclass(frozen=True, eq=False)
class Seen:
    """What was looked at of some rows, before a look.

    Attributes:
        looks: at these data, oldest first.
        again: bool, [rows]; the row itself was looked at.
        until: the last day (since 1970) looked at; None: nobody looked at these data.
    """

    looks: tuple[Look, ...]
    again: NDArray[np.bool_]
    until: int | None

    @property
    def challenges(self) -> int:
        """How many were opened on these data."""
        return sum(bool(look.challenge) for look in self.looks)

    def lowest_level(self, level: float) -> float:
        """The lowest level that was ever declared for these data, `level` among them."""
        return min([level, *(look.level for look in self.looks)])

    @property
    def spent(self) -> float:
        """The level spent on these data so far."""
        return sum(look.spent for look in self.looks)


#: what is to be recorded, given what was seen before; and which of the rows it looks at (bool, [rows])
Judge = Callable[[Seen], tuple[Look, NDArray[np.bool_]]]


class Looks:
    """The looks of a lake. Making one reads nothing.

    Args:
        heads: the folder of the head's second place (`Home.heads`), or None where there is none (a copy of a lake).
    """

    def __init__(self, lake: Lake, heads: Path | None = None) -> None:
        self.lake = lake
        self._heads = Heads(lake.location, HEAD, heads)

    def changed(self) -> str | None:
        """What of the table holds other bytes than were written, in words; None: nothing."""
        return next((fault for head, commits in self._since() if (fault := head.changed(TABLE, commits))), None)

    def lost(self) -> str | None:
        """What of the table is not there any more, in words; None: nothing."""
        return next((fault for head, commits in self._since() if (fault := head.lost(TABLE, commits, "looks"))), None)

    def accept(self) -> None:
        """Let the table go on from where it is, though looks were lost; a person says so on the record of decisions."""
        self._advance(self.lake.version(TABLE))

    def all(self) -> list[Look]:
        """Every look, oldest first.

        Raises:
            StateError: looks were lost or changed.
        """
        self._require_whole()
        return _looks(self.lake.read(TABLE, columns=[field.name for field in fields(Look)]))

    def seen(self, rows: OutcomeRows) -> Seen:
        """What was looked at of these rows so far.

        Raises:
            StateError: looks were lost or changed.
        """
        self._require_whole()
        return _seen(rows, *self._state(self.lake.version(TABLE), None))[0]

    def record(self, run_key: str, rows: OutcomeRows, judge: Judge, earlier: Sequence[tuple[Look, NDArray[np.bool_]]] = ()) -> Seen:
        """Record a look, unless that run's is recorded, and return what was seen before it: the same each time.

        Args:
            rows: all outcome rows of the data.
            judge: makes the look; called again where another look came first.
            earlier: looks of before there was this table, oldest first, with the rows that they looked at; those of runs that have a look
                are left out.

        Raises:
            ConflictError: others kept writing.
            StateError: looks were lost or changed.
        """

        def attempt() -> Seen:
            self._require_whole()
            version = self.lake.version(TABLE)
            known = [] if version is None else self.all()
            own = next((look for look in known if look.run_key == run_key), None)
            looks, looked = self._state(version, None if own is None else own.sequence)
            if own is not None:
                return _seen(rows, looks, looked)[0]
            frames: list[pd.DataFrame] = []
            there = {look.run_key for look in known}
            sequence = len(known)
            for look, chosen in (*earlier, (None, None)):
                if look is not None and look.run_key in there:
                    continue
                seen, found = _seen(rows, looks, looked)
                made, shown = (look, chosen) if look is not None and chosen is not None else judge(seen)
                sequence += 1
                made, frame = _recorded(made, rows.take(shown), rows, found, looked, sequence)
                looks, frames = [*looks, made], [*frames, frame]
                if look is not None:
                    looked = _joined(looked, made, frame)
            self._advance(self.lake.append(TABLE, pd.concat(frames, ignore_index=True), expected_version=version))
            return seen

        return retry_conflicts(attempt, kept_writing(TABLE))

    def _since(self) -> list[tuple[Head, tuple[str, ...]]]:
        """Each head, and what stands for the commits now that it knows."""
        heads = tuple(self._heads.read().values())
        commits = commit_digests(LakeFiles(self.lake.location), TABLE, max((len(head.commits) for head in heads), default=0))
        return [(head, commits) for head in heads]

    def _require_whole(self) -> None:
        fault = self.changed() or self.lost()
        if fault:
            raise StateError(
                f"{fault}. What was looked at would count as unseen, so nothing is trained over it: put the lake and the MLflow store back "
                "together from a backup. If looks are lost for good, a person accepts it, on the record: finflow verify NAME --accept-head "
                "--by WHO --why TEXT"
            )

    def _advance(self, version: int | None) -> None:
        """Let the head know the table up to a version, through to the disk."""
        files = LakeFiles(self.lake.location)
        if version is not None:
            files.sync(committed_files(files, TABLE, version))
        count = 0 if version is None else version + 1
        self._heads.write(Head(count, "", commit_digests(files, TABLE, count)))

    def _state(self, version: int | None, before: int | None) -> tuple[list[Look], LookedAt]:
        """The looks of before a sequence number (None: all), and the fingerprints that they left."""
        if version is None:
            return [], join_looked_at([])
        where = None if before is None else f"sequence < {before}"
        frame = self.lake.read(TABLE, version=version, where=where).sort_values("sequence")
        looks = _looks(frame)
        return looks, join_looked_at([_left(look, frame.iloc[place]) for place, look in enumerate(looks)])


def _seen(rows: OutcomeRows, looks: Sequence[Look], looked: LookedAt) -> tuple[Seen, Found]:
    found = find_again(rows, looked)
    same = found.series
    return Seen(tuple(look for look in looks if same & set(look.series)), found.again, found.until), found


def _recorded(
    look: Look, shown: OutcomeRows, rows: OutcomeRows, found: Found, looked: LookedAt, sequence: int
) -> tuple[Look, pd.DataFrame]:
    """The look as it is kept, and its row."""
    place_of: dict[int, int] = {}
    names: dict[str, int] = {}
    for series in np.unique(rows.series).tolist():
        own = found.names.get(series, (f"{sequence}/{series}",))
        for name in own:
            names.setdefault(name, len(names))
        place_of[series] = names[own[0]]
    numbered = replace(look, series=tuple(names), sequence=sequence, recorded_at=look.recorded_at or pd.Timestamp.now("UTC").isoformat())
    values = {name: list(value) if name in _LISTS else value for name, value in numbered.to_dict().items()}
    values |= {name: json.dumps(values[name]) for name in _LISTS} | packed(shown, looked, place_of)
    frame = pd.DataFrame([values])
    frame["decided_after"] = frame["decided_after"].astype("str") if look.decided_after is not None else pd.Series([None], dtype="str")
    return numbered, frame


def _joined(looked: LookedAt, look: Look, frame: pd.DataFrame) -> LookedAt:
    """All fingerprints after a look."""
    before = (looked.hashes.tobytes(), looked.day.astype("<i4").tobytes(), looked.series.astype("<i4").tobytes(), looked.names)
    return join_looked_at([before, _left(look, frame.iloc[0])])


def _left(look: Look, row: pd.Series[Any]) -> Left:
    """What a look's row holds of fingerprints."""
    hashes, days, places = (bytes(row[name]) for name in _PACKED)
    return hashes, days, places, look.series


def _looks(frame: pd.DataFrame) -> list[Look]:
    found = []
    for values in frame.to_dict("records"):
        kept: dict[str, Any] = {
            field.name: None if values[field.name] != values[field.name] else values[field.name] for field in fields(Look)
        }
        kept |= {name: tuple(json.loads(kept[name])) for name in _LISTS}
        found.append(Look(**kept))
    return sorted(found, key=lambda look: look.sequence)
