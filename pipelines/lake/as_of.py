"""Reading a table as of an instant: of each entity and time the latest revision known by then."""

from __future__ import annotations

import numpy as np
import pandas as pd

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.lake.lake import PARTITION, Lake, literal

KEY = ["entity", "time"]
#: column of the instant at which a later revision gave a row the outcome that it has now; NaT where its first revision had it already
CORRECTED = "__corrected"
#: bool column, where a table has it: the revision says that the row is not there any more
WITHDRAWN = "withdrawn"


def read_as_of(
    lake: Lake, table: str, as_of: pd.Timestamp, version: int | None = None, *, duplicates: bool = False, outcome: str | None = None
) -> pd.DataFrame:
    """The rows known by `as_of`: of each (entity, time) the latest revision.

    Args:
        as_of: aware; rows with known_at up to and including it are known.
        version: of the table; the newest by default.
        duplicates: keep every row of the latest revision where a source gave one key several times (a contract quarantines them); otherwise
            the first of them stands.
        outcome: a column whose values come late; the result then has `CORRECTED` too.

    Returns:
        the table's columns without the partition column; sorted by entity and time (duplicates by their values), index 0..n-1. The order
        does not depend on that in which rows were written.

    Raises:
        StateError: no such table or version.
    """
    return latest_known(read_revisions(lake, table, as_of, version), duplicates=duplicates, outcome=outcome)


def read_revisions(lake: Lake, table: str, as_of: pd.Timestamp, version: int | None = None) -> pd.DataFrame:
    """Every revision known by `as_of`: the table's columns without the partition column, sorted by entity, time and known_at.

    Raises:
        StateError: no such table or version.
    """
    if version is None and not lake.exists(table):
        raise StateError(f"table {table} is not in the lake {lake.location}: nothing has been ingested yet.")
    frame = lake.read(table, version=version, where=f"known_at <= {literal(as_of)}").drop(columns=[PARTITION], errors="ignore")
    return frame.sort_values([*KEY, "known_at"], kind="stable", ignore_index=True)


def latest_known(revisions: pd.DataFrame, *, duplicates: bool = False, outcome: str | None = None) -> pd.DataFrame:
    """The latest of these revisions of each row, which are sorted as `read_revisions` gives them; see `read_as_of`."""
    latest = _latest_of_sorted(revisions, duplicates)
    if WITHDRAWN in latest and latest[WITHDRAWN].any():
        latest = latest[~latest[WITHDRAWN].fillna(False).astype(bool)].reset_index(drop=True)
    if outcome is None or outcome not in revisions or len(revisions) == len(latest):
        return latest
    return latest.merge(_corrected(revisions, outcome), on=KEY, how="left", validate="many_to_one")


def _corrected(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """entity, time and `CORRECTED`, of the rows whose `column` a later revision changed."""
    frame = frame.loc[frame.duplicated(KEY, keep=False), [*KEY, "known_at", column]].sort_values([*KEY, "known_at"], kind="stable")
    again = frame.duplicated(KEY, keep="first")
    value, before = frame[column], frame[column].shift()
    other = again & ~((value == before).fillna(False).astype(bool) | (value.isna() & before.isna()))
    found = frame.loc[other, [*KEY, "known_at"]].rename(columns={"known_at": CORRECTED})
    return found.drop_duplicates(KEY, keep="last")


def latest_revisions(frame: pd.DataFrame, *, duplicates: bool = False) -> pd.DataFrame:
    """Of rows with entity, time and known_at those of each key's latest known_at; see `read_as_of`."""
    return _latest_of_sorted(frame.sort_values([*KEY, "known_at"], kind="stable", ignore_index=True), duplicates)


def _latest_of_sorted(frame: pd.DataFrame, duplicates: bool) -> pd.DataFrame:
    if frame.duplicated(KEY).any():
        newest = frame.groupby(KEY, sort=False)["known_at"].transform("max")
        frame = frame[frame["known_at"] == newest].reset_index(drop=True)
        repeated = frame.duplicated(KEY, keep=False).to_numpy()
        if repeated.any():
            frame = _order_repeated(frame, repeated)
            frame = frame if duplicates else frame.drop_duplicates(KEY, ignore_index=True)
    return frame


def _order_repeated(frame: pd.DataFrame, repeated: np.ndarray) -> pd.DataFrame:
    """Order the few rows that share a key by their values, so that the order of arrival does not matter."""
    values = [name for name in frame.columns if name not in KEY]
    places = np.flatnonzero(repeated)
    order = frame.loc[repeated].sort_values([*KEY, *values], kind="stable").index.to_numpy()
    rearranged = np.arange(len(frame))
    rearranged[places] = order
    return frame.iloc[rearranged].reset_index(drop=True)
