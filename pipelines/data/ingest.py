"""The first stage: what the source holds and the raw table does not, lands there with the instant it became known."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pandas as pd

from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.core.manifests import RawManifest
from finflow.pipelines.core.names import check_name
from finflow.pipelines.data.absence import Absence, described, find_absence, withdrawals
from finflow.pipelines.data.contract_rules import columns_read
from finflow.pipelines.data.origin import AGREEING, agreeing_rows, is_same, origin_of, other_source, record_origin, recorded_origin
from finflow.pipelines.data.pseudonyms import read_source
from finflow.pipelines.data.revisions import new_revisions, tolerances
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.as_of import KEY, WITHDRAWN
from finflow.pipelines.lake.conflicts import kept_writing, retry_conflicts
from finflow.pipelines.lake.lake import PARTITION


def ingest(context: Context, *, now: pd.Timestamp | None = None) -> RawManifest:
    """Read the source and append to `raw/<name>` the row revisions that are not there yet, in one commit.

    `known_at` is the source's own vintage where it gives one. Otherwise a row that begins an entity's history, or continues it at either
    end, counts as published by the definition's rule: its session's close plus the lag. A row whose values changed, that fills a hole
    between rows already there, or whose time still lies ahead became known now. A source that says nothing new leads to no commit.

    What the lake holds and the source no longer gives is counted, and where the definition says `missing_rows: withdraw`, withdrawn with a
    revision that is known now. A batch of another source than the table's is refused.

    Rows of one batch that share entity and time are all kept, for the contract to quarantine; the order of the source's rows makes no
    difference.

    Args:
        now: the instant of arrival, UTC; the clock's by default.

    Personal columns are pseudonyms from here on (see `finflow.pipelines.data.pseudonyms`).

    Raises:
        SourceError: see the source's `read`; or a row without entity or time.
        FinflowError, StateError: see `finflow.pipelines.data.pseudonyms.read_source`.
        StateError: the table was filled from another source (see `finflow.pipelines.data.origin`).
        ConflictError: other runs kept writing to the same table.
    """
    lake, table = context.lake, f"raw/{context.name}"
    batch = _checked(read_source(context), context)
    arrived = pd.Timestamp(datetime.datetime.now(datetime.UTC)).as_unit("us") if now is None else now

    def attempt() -> RawManifest:
        version = lake.version(table)
        stored = lake.read(table, version=version)
        absence = find_absence(batch, stored)
        fresh = _from_its_source(context, batch, stored, absence, arrived)
        gone = withdrawals(absence, context.definition, arrived)
        news = pd.concat([fresh, gone], ignore_index=True) if len(gone) else fresh
        if version is None or len(news):
            version = lake.append(table, news, expected_version=version)
        missing = described(absence, context.definition, len(gone))
        return replace(_manifest(table, version, stored, news), added=len(fresh), read=len(batch), missing=missing)

    return retry_conflicts(attempt, kept_writing(table))


def _from_its_source(context: Context, batch: pd.DataFrame, stored: pd.DataFrame, absence: Absence, now: pd.Timestamp) -> pd.DataFrame:
    """The new revisions of a batch, if it comes from the source that the table belongs to; that is recorded where it is not yet.

    Raises:
        StateError: it comes from another source.
    """
    origin, before = origin_of(context), recorded_origin(context.lake, context.name) if len(stored) else None
    if before is not None and not is_same(before, origin, context.definition.moved_from):
        # The same rows from another place are the same source, moved.
        agreeing = agreeing_rows(batch, stored, tolerances(context.definition, batch))
        if absence.held == 0 or agreeing < AGREEING * absence.held:
            raise other_source(context.name, before, origin, agreeing, absence.held)
    fresh = new_revisions(batch, stored, context.definition, now)
    if before != origin:
        record_origin(context.lake, context.name, origin)
    return fresh


def stored_raw(context: Context) -> RawManifest | None:
    """The raw table as it is, without a look at the source; None where nothing was ever ingested."""
    lake, table = context.lake, f"raw/{context.name}"
    version = lake.version(table)
    if version is None:
        return None
    stored = lake.read(table, version=version)
    return _manifest(table, version, stored, stored.head(0))


def _manifest(table: str, version: int, stored: pd.DataFrame, fresh: pd.DataFrame) -> RawManifest:
    times = [frame["time"] for frame in (stored, fresh) if len(frame)]
    first, last = min(part.min() for part in times), max(part.max() for part in times)
    return RawManifest(table, version, len(fresh), len(stored) + len(fresh), first.isoformat(), last.isoformat())


def _checked(frame: pd.DataFrame, context: Context) -> pd.DataFrame:
    """The source's rows in the types of the raw table, sorted by entity, time and values."""
    _check_columns(frame, context)
    definition = context.definition
    where = getattr(definition.source, "path", None) or f"{definition.name}: the {definition.source.kind} source"
    for name in KEY:
        gone = int(frame[name].isna().sum())
        if gone:
            row = int(np.flatnonzero(frame[name].isna())[0]) + 1
            raise SourceError(f"{where}: column {name!r} is empty in {gone} rows, first in data row {row}; every row needs it.")
    if frame.empty:
        raise SourceError(f"{where} holds no rows; check its path and its dates.")
    for entity in frame["entity"].unique():
        try:
            check_name(str(entity), "entity")
        except FinflowError as error:
            raise SourceError(f"{definition.name}: {error}") from None
    frame = frame.assign(entity=frame["entity"].astype("str"), time=frame["time"].dt.as_unit("us"))
    if "known_at" in frame:
        frame["known_at"] = frame["known_at"].dt.tz_convert("UTC").dt.as_unit("us")
    values = [name for name in frame.columns if name not in KEY]
    integers = [name for name in values if frame[name].dtype.kind in "iu"]
    if integers:  # to change no column would still take a frame apart into its columns
        frame = frame.astype(dict.fromkeys(integers, "float64"))
    return frame.sort_values([*KEY, *values], kind="stable", ignore_index=True)


def _check_columns(frame: pd.DataFrame, context: Context) -> None:
    """Before anything is written: a column that the definition reads and the source does not give."""
    definition = context.definition
    missing = [name for name in (*KEY, *columns_read(definition)) if name not in frame]
    if missing:
        where = getattr(definition.source, "path", None) or f"the {definition.source.kind} source"
        raise SourceError(
            f"{where}: no column {', '.join(map(repr, missing))}, which {definition.name} reads; there are "
            f"{', '.join(map(repr, frame.columns))}. If the file calls it otherwise, map it in the definition's source: "
            "columns: {close: Last}."
        )
    context.problem.check_columns([str(name) for name in frame.columns])
    own = [name for name in (PARTITION, WITHDRAWN) if name in frame]
    if own:
        raise SourceError(f"{definition.name}: a column {own[0]!r} is finflow's own; map the source's column under another name.")
