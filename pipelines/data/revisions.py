"""Which rows of a batch say what the raw table does not, and when they became known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from finflow.pipelines.core.calendars import published_at
from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.data.fingerprints import Prints, row_prints, without_noise
from finflow.pipelines.lake.as_of import KEY, WITHDRAWN, is_withdrawn
from finflow.pipelines.lake.lake import PARTITION

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

TICK = pd.Timedelta(microseconds=1)
VINTAGE = [*KEY, "known_at"]
#: relative difference of a bar's numbers that is noise of floating point and no restatement
NOISE = 1e-7


def new_revisions(batch: pd.DataFrame, stored: pd.DataFrame, definition: Definition, now: pd.Timestamp) -> pd.DataFrame:
    """The rows of `batch` that are not in `stored`, with known_at and period.

    A group of rows that share their key (a source's duplicates) is one revision: it is compared, and appended, as a whole. Numbers that
    differ from the stored ones by no more than the definition's tolerance say the same. A row that is withdrawn and comes back is new.

    Args:
        batch: entity, time (datetime64[us]), values, and known_at if the source gives vintages.
        stored: the raw table; may be empty.
        now: the instant of arrival, UTC.

    Raises:
        SourceError: a column that earlier batches had is missing, or a source rewrites an older vintage.
    """
    values = [name for name in batch.columns if name not in VINTAGE]
    lost = sorted(set(stored.columns) - {*VINTAGE, PARTITION, WITHDRAWN} - set(values)) if len(stored) else []
    if lost:
        raise SourceError(
            f"{definition.name}: column {', '.join(map(repr, lost))} is missing, and earlier batches had it. If it was renamed, map it "
            "under `columns`; to do without it, give the definition another name."
        )
    tolerance = tolerances(definition, batch)
    published = pd.Series(published_at(definition.calendar, definition.publication_lag_minutes, batch["time"]))
    # A row that lies ahead is known, and for the contract to judge, now: waiting for its publication would hide it.
    arrived = published.where(batch["time"].dt.tz_localize("UTC") <= now, now)
    vintages = "known_at" in batch
    batch = batch.assign(known_at=batch["known_at"].fillna(arrived) if vintages else arrived)
    if len(stored):
        absent: dict[str, Any] = {name: pd.NaT if batch[name].dtype.kind == "M" else np.nan for name in values if name not in stored}
        stored = stored.assign(**absent)
        there = row_prints(stored, values)
        compared = batch if vintages else batch.drop(columns="known_at")
        prints = without_noise(compared, row_prints(batch, values), stored, there, values, tolerance)
        sides = batch, prints, stored, there
        known = _with_vintages(*sides, definition, now) if vintages else _without_vintages(*sides, now)
        batch = batch.assign(known_at=known)[known.notna()]
    period = pd.array(batch["time"].dt.strftime("%Y"), dtype="str")
    return batch.assign(**{PARTITION: period}).reset_index(drop=True)


def tolerances(definition: Definition, batch: pd.DataFrame) -> dict[str, float]:
    """By column of numbers, the relative difference that is no restatement: the definition's, else `NOISE` for bars and 0 for tables.

    Raises:
        SourceError: the definition names a column that the source does not give, or one of text.
    """
    numbers = [str(name) for name in batch.columns if batch[name].dtype.kind == "f"]
    wrong = sorted(set(definition.tolerance) - set(numbers))
    if wrong:
        raise SourceError(
            f"{definition.name}: tolerance names {', '.join(map(repr, wrong))}, and the source gives no such column of numbers: there are "
            f"{', '.join(map(repr, numbers))}."
        )
    usual = NOISE if definition.contract.kind == "bars" else 0.0
    return {name: definition.tolerance.get(name, usual) for name in numbers}


def _groups(frame: pd.DataFrame, prints: Prints, key: list[str]) -> pd.DataFrame:
    """Each key with a fingerprint of its rows' values that does not depend on their order."""
    mixed = pd.util.hash_array(prints).view(np.int64)
    return frame[key].assign(print=mixed).groupby(key, sort=False)["print"].sum().reset_index()


def _without_vintages(batch: pd.DataFrame, prints: Prints, stored: pd.DataFrame, there: Prints, now: pd.Timestamp) -> pd.Series:
    """known_at of every row of `batch`; NaT where the latest stored revision says the same."""
    latest = _groups(stored, there, VINTAGE).sort_values("known_at").drop_duplicates(KEY, keep="last")
    groups = _groups(batch, prints, KEY).merge(latest.rename(columns={"print": "was", "known_at": "since"}), on=KEY, how="left")
    bounds = stored.groupby("entity", sort=False)["time"].agg(first="min", last="max")
    groups = groups.merge(bounds, left_on="entity", right_index=True, how="left")
    told = groups["since"].notna()
    inside = ~told & (groups["time"] > groups["first"]) & (groups["time"] < groups["last"])
    groups["same"] = told & (groups["print"] == groups["was"])
    groups["late"] = inside | told
    rows = batch[KEY].merge(groups, on=KEY, how="left", validate="many_to_one")
    known = batch["known_at"].reset_index(drop=True)
    # Never before its publication, and always after the revision that it replaces: a bar that changes before the close still changes.
    known = known.mask(rows["late"] & (known < now), now)
    known = known.mask(rows["since"].notna() & (known <= rows["since"]), rows["since"] + TICK)
    return known.mask(rows["same"]).set_axis(batch.index)


def _with_vintages(
    batch: pd.DataFrame, prints: Prints, stored: pd.DataFrame, there: Prints, definition: Definition, now: pd.Timestamp
) -> pd.Series:
    """As `_without_vintages`, where the source says itself when a row was known."""
    before = _groups(stored, there, VINTAGE)
    groups = _groups(batch, prints, VINTAGE).merge(before.rename(columns={"print": "was"}), on=VINTAGE, how="left")
    # Stored revisions of that vintage or later that say the same: the row itself, or a correction that an earlier run took in.
    alike = groups.merge(before.rename(columns={"known_at": "since"}), on=[*KEY, "print"])
    alike = alike[alike["since"] >= alike["known_at"]][VINTAGE].drop_duplicates().assign(same=True)
    groups = groups.merge(alike, on=VINTAGE, how="left")
    groups["same"] = groups["same"].notna() & groups["was"].notna()
    rewritten = groups["was"].notna() & ~groups["same"]
    last = groups.groupby(KEY)["known_at"].transform("max")
    older = rewritten & (groups["known_at"] < last)
    if older.any():
        first = groups[older].iloc[0]
        raise SourceError(
            f"{definition.name}: {first['entity']!r} on {first['time']:%Y-%m-%d} has other values than before for known_at "
            f"{first['known_at']}, and a later vintage beside them: what was known then cannot change. Give the "
            "correction a known_at of its own."
        )
    newest = before.groupby(KEY, sort=False)["known_at"].max().rename("since").reset_index()
    groups = groups.merge(newest, on=KEY, how="left")
    # The newest vintage of a row that was withdrawn after it, and that is given again.
    gone = stored.loc[is_withdrawn(stored), VINTAGE].rename(columns={"known_at": "since"}).assign(gone=True)
    withdrawn = groups.merge(gone, on=[*KEY, "since"], how="left")["gone"].notna() if len(gone) else pd.Series(False, index=groups.index)
    back = withdrawn & (groups["known_at"] == last) & (groups["known_at"] <= groups["since"])
    corrected = groups["since"] + TICK
    corrected = corrected.mask(corrected < now, now)
    groups["becomes"] = groups["known_at"].mask(rewritten, corrected).mask(groups["same"]).mask(back, corrected)
    rows = batch[VINTAGE].merge(groups[[*VINTAGE, "becomes"]], on=VINTAGE, how="left", validate="many_to_one")
    return rows["becomes"].set_axis(batch.index)
