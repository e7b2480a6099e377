"""Scoring: predict from one date with a served version, and keep the rows, once."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from finflow.pipelines.core.errors import FinflowError, NotEnoughHistoryError, RegistryError
from finflow.pipelines.core.manifests import CleanManifest, JsonRecord
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import published, resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.as_of import read_standing
from finflow.pipelines.lake.pending import no_champion
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.lake.promotions import trained_as_of
from finflow.pipelines.registry.task_signature import check_task
from finflow.pipelines.registry.versions import load_version, repair_aliases
from finflow.pipelines.samples.as_known import on_dates, view_as_known, without_future
from finflow.pipelines.samples.windows import build_samples
from finflow.pipelines.scoring.deliver import deliver
from finflow.pipelines.scoring.rows import prediction_rows, unusable_dates


@dataclass(frozen=True)
class ScoreResult(JsonRecord):
    """What scoring a date left.

    Attributes:
        as_of: the instant whose knowledge was used (ISO, UTC).
        date: the session predicted from (ISO date).
        version: the model version that answered.
        rows: prediction rows of this date by this version on these inputs.
        written: how many of them are new (0: the same inputs and version were scored before).
        in_sample: how many of them the version may have learnt from.
        delivered: how many rows are new in the definition's sink.
        table_version: version of the predictions table that holds them.
    """

    as_of: str
    date: str
    version: int
    rows: int
    written: int
    in_sample: int
    table: str
    table_version: int
    delivered: int = 0


def score(context: Context, as_of_date: str | None = None, version: int | None = None) -> ScoreResult:
    """Read the source, validate, and score a date (default: the last session in the data) with the champion or with `version`.

    Raises:
        SourceError, ContractError: the data cannot be used; nothing is predicted.
        FinflowError: see `score_clean`.
    """
    raw = ingest(context)
    as_of = resolve_as_of(context, as_of_date)
    return score_clean(context, validate(context, raw, as_of), version)


def score_clean(context: Context, clean: CleanManifest, version: int | None = None) -> ScoreResult:
    """Score the session of a validated batch's as-of; the alias is resolved to a version once, here.

    Raises:
        RegistryError: there is no champion, or the version may not be loaded or answers another task than is asked now.
        NotEnoughHistoryError: no entity has a full window at that date.
        FinflowError: an answer is not finite; nothing is written.
        SinkError: the definition's sink takes no rows; they are in the lake, and the same call again sends them.
    """
    definition = context.definition
    version = champion_version(context) if version is None else version
    served = load_version(context, version)
    check_task(definition, served, promotions=context.promotions)
    as_of = pd.Timestamp(clean.as_of)
    date = session_of(context, clean)
    view = view_as_known(context, clean, as_of, date)
    samples = without_future(definition, on_dates(build_samples(definition, view), pd.DatetimeIndex([date])), view)
    if not len(samples):
        raise NotEnoughHistoryError(f"{definition.name} as of {date:%Y-%m-%d}: {absence(context, clean, view, date)}")
    rows = prediction_rows(
        context,
        served,
        samples,
        trained_as_of=trained_as_of(context.promotions, version),
        scored_at=pd.Timestamp.now("UTC"),
        backfill_id=None,
    )
    for reason in unusable_dates(rows).values():
        raise FinflowError(f"{definition.name} as of {date:%Y-%m-%d}: {reason}; nothing was written. Train again, or roll back.")
    predictions = Predictions(context.lake, definition.name)
    written = predictions.append_new(rows)
    return ScoreResult(
        as_of=clean.as_of,
        date=f"{date:%Y-%m-%d}",
        version=version,
        rows=len(rows),
        written=written.rows,
        in_sample=int(rows["in_sample"].sum()),
        table=predictions.table,
        table_version=int(written.table_version or 0),
        delivered=deliver(context, [f"{date:%Y-%m-%d}"], [version]),
    )


def champion_version(context: Context) -> int:
    """The version that the promotions table says is champion; the alias is mended first if a crash left it behind.

    Raises:
        RegistryError: there is none.
    """
    champion = context.promotions.champion()
    if champion is None:
        raise RegistryError(no_champion(context.name, context.promotions.rows()))
    repair_aliases(context)
    return int(champion.version)


def session_of(context: Context, clean: CleanManifest) -> pd.Timestamp:
    """The last date that any raw row known at the batch's as-of has, and that was published by then: the session that the as-of stands for.

    Raw, not clean: a date whose rows were all quarantined must not be passed over for the one before.

    Raises:
        NotEnoughHistoryError: nothing was known by then.
    """
    as_of = pd.Timestamp(clean.as_of)
    rows = read_standing(context.lake, clean.raw.table, version=clean.raw.version, as_of=as_of)
    dates = pd.DatetimeIndex(rows["time"].unique())
    dates = dates[published(context.definition, dates) <= as_of]
    if not len(dates):
        raise NotEnoughHistoryError(f"{context.name}: nothing was known by {as_of}: choose a later date.")
    return dates.max().normalize()


def absence(context: Context, clean: CleanManifest, view: pd.DataFrame, date: pd.Timestamp) -> str:
    """Why no entity has a sample on a date, in words a person can act on."""
    there = view[view["time"].dt.normalize() == date] if len(view) else view
    if len(there):
        longest = view[view["entity"].isin(there["entity"])].groupby("entity").size().max()
        return (
            f"no entity has a full window: a window needs {context.definition.window.length} observations and what its features look back, "
            f"without a gap of more than {context.definition.window.maximum_gap} sessions; the longest history has {longest} rows"
        )
    broken = context.lake.read(f"quarantine/{context.name}", columns=["time", "rules"])
    rules = (
        sorted({rule for text in broken.loc[broken["time"].dt.normalize() == date, "rules"] for rule in str(text).split(",")})
        if len(broken)
        else []
    )
    if rules:
        return f"every row of that date is in quarantine ({', '.join(rules)})"
    return "there is no row of that date which was known by then"
