"""Rows that the lake holds and the source no longer gives: counted, said, and withdrawn where the definition says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.manifests import MissingRows
from finflow.pipelines.data.fingerprints import row_keys, standing_places
from finflow.pipelines.lake.as_of import WITHDRAWN
from finflow.pipelines.lake.lake import PARTITION

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

TICK = pd.Timedelta(microseconds=1)
NAMED = 5


@dataclass(frozen=True, eq=False)
class Absence:
    """What a reading did not give of what the lake holds.

    Attributes:
        rows: the latest revision of each entity and time that is missing though the source reaches there: not before its first date.
        earlier: entities and times before that date. A source that gives the newest days alone lacks them every time.
        held: entities and times that the lake holds from that date on, missing ones included.
        gone: the entities of which the source gives nothing at all, among those of `rows`; sorted.
        begin: the source's first date now.
    """

    rows: pd.DataFrame
    earlier: int
    held: int
    gone: tuple[str, ...]
    begin: pd.Timestamp


def find_absence(batch: pd.DataFrame, stored: pd.DataFrame) -> Absence:
    """Compare what a source gives now with what stands in the raw table; rows that are withdrawn already are not missed."""
    begin = batch["time"].min()
    if stored.empty:
        return Absence(stored, 0, 0, (), begin)
    keys, given = row_keys(stored), row_keys(batch)
    standing = standing_places(keys, stored)
    missing, reached = standing & ~pd.Index(keys).isin(given), (stored["time"] >= begin).to_numpy()
    rows = stored[missing & reached].reset_index(drop=True)
    earlier, held = np.count_nonzero(missing & ~reached), np.count_nonzero(standing & reached)
    return Absence(rows, int(earlier), int(held), tuple(sorted(set(rows["entity"]) - set(batch["entity"]))), begin)


def withdrawals(absence: Absence, definition: Definition, now: pd.Timestamp) -> pd.DataFrame:
    """A revision for each missing row that says that it is withdrawn, known at `now`; none where the definition keeps them.

    Raises:
        SourceError: more than the definition's `maximum_withdrawn` of the rows would go at once.
    """
    if definition.missing_rows == "keep" or absence.rows.empty:
        return absence.rows.iloc[:0]
    if len(absence.rows) > definition.maximum_withdrawn * absence.held:
        raise SourceError(
            f"{definition.name}: the source gives {absence.held - len(absence.rows):,} of the {absence.held:,} rows that it gave from "
            f"{absence.begin:%Y-%m-%d} on: more than `maximum_withdrawn` ({definition.maximum_withdrawn:g}) would be withdrawn. "
            "Did its delivery break off? Nothing was written. Mend the source; if the rows are meant to go, raise `maximum_withdrawn`."
        )
    known_at = absence.rows["known_at"].where(absence.rows["known_at"] >= now, now - TICK) + TICK
    return absence.rows.assign(**{"known_at": known_at, WITHDRAWN: True, PARTITION: absence.rows["time"].dt.strftime("%Y").astype("str")})


def described(absence: Absence, definition: Definition, withdrawn: int) -> MissingRows | None:
    """What a person is told of it; None where nothing is missing."""
    rows = len(absence.rows)
    if not rows and not absence.earlier:
        return None
    since, parts = f"{absence.begin:%Y-%m-%d}", []
    if rows:
        told = f"{rows:,} of the {absence.held:,} rows that the lake holds from {since} on are no longer in the source"
        if absence.gone:
            more = f" and {len(absence.gone) - NAMED:,} more" if len(absence.gone) > NAMED else ""
            told += f" (nothing at all of {', '.join(absence.gone[:NAMED])}{more})"
        if 2 * rows > absence.held:
            told += ", MORE THAN HALF (did a delivery break off?)"
        kept = "they are kept, trained and scored on (`missing_rows: withdraw` takes such rows out)"
        parts += [told, "they are withdrawn from now on" if withdrawn else kept]
    if absence.earlier:
        parts.append(f"{absence.earlier:,} rows before {since}, where the source begins now, are kept")
    return MissingRows(rows, absence.earlier, absence.held, absence.gone[:NAMED], len(absence.gone), withdrawn, "; ".join(parts))
