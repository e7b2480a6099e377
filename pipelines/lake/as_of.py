"""Reading a table as of an instant: of each entity and time the latest revision known by then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.lake.lake import PARTITION, Lake, literal

KEY = ["entity", "time"]
#: column (bool, may be missing) of raw and clean tables: this revision says that the row is withdrawn from its known_at on
WITHDRAWN = "withdrawn"
#: column of the instant at which a later revision gave a row the outcome that it has now; NaT where its first revision had it already
CORRECTED = "__corrected"


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
        the table's columns without the partition column, and without rows that are withdrawn by then; sorted by entity and time
        (duplicates by their values), index 0..n-1. The order does not depend on that in which rows were written.

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
    latest = _latest_of_sorted(standing(revisions), duplicates)
    if outcome is None or outcome not in revisions or len(revisions) == len(latest):
        return latest
    given = revisions[~is_withdrawn(revisions)]  # a withdrawal says nothing of the outcome
    return latest.merge(_corrected(given, outcome), on=KEY, how="left", validate="many_to_one")


def _corrected(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """entity, time and `CORRECTED`, of the rows whose `column` a later revision changed."""
    frame = frame.loc[frame.duplicated(KEY, keep=False), [*KEY, "known_at", column]].sort_values([*KEY, "known_at"], kind="stable")
    again = frame.duplicated(KEY, keep="first")
    value, before = frame[column], frame[column].shift()
    other = again & ~((value == before).fillna(False).astype(bool) | (value.isna() & before.isna()))
    found = frame.loc[other, [*KEY, "known_at"]].rename(columns={"known_at": CORRECTED})
    return found.drop_duplicates(KEY, keep="last")


def is_withdrawn(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a revision says that its row is withdrawn: bool, [rows]."""
    if WITHDRAWN not in frame:
        return np.zeros(len(frame), dtype=bool)
    return np.asarray(frame[WITHDRAWN].eq(True).fillna(False), dtype=bool)


def standing(frame: pd.DataFrame) -> pd.DataFrame:
    """The revisions (entity, time, known_at and more) of rows whose latest revision does not withdraw them, without `WITHDRAWN`."""
    gone = is_withdrawn(frame)
    plain = frame.drop(columns=[WITHDRAWN], errors="ignore")
    if not gone.any():
        return plain
    since = frame[gone].groupby(KEY)["known_at"].max().rename("__gone").reset_index()
    last = frame.groupby(KEY)["known_at"].max().rename("__last").reset_index()
    out = since.merge(last, on=KEY)
    out = out.loc[out["__gone"] == out["__last"], KEY]
    return plain[~pd.MultiIndex.from_frame(plain[KEY]).isin(pd.MultiIndex.from_frame(out)) & ~gone].reset_index(drop=True)


def read_standing(
    lake: Lake, table: str, *, version: int | None = None, as_of: pd.Timestamp | None = None, columns: Sequence[str] = ()
) -> pd.DataFrame:
    """entity, time, known_at and `columns` of every revision (known by `as_of`), but for rows that are withdrawn by then."""
    where = None if as_of is None else f"known_at <= {literal(as_of)}"
    wanted = list(dict.fromkeys([*KEY, "known_at", *columns, WITHDRAWN]))
    return standing(lake.read(table, version=version, columns=wanted, optional=[WITHDRAWN], where=where))


def latest_revisions(frame: pd.DataFrame, *, duplicates: bool = False) -> pd.DataFrame:
    """Of rows with entity, time and known_at those of each key's latest known_at that does not withdraw them; see `read_as_of`."""
    return _latest_of_sorted(standing(frame).sort_values([*KEY, "known_at"], kind="stable", ignore_index=True), duplicates)


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
