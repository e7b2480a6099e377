"""The stored predictions of the sessions up to an as-of, judged by the targets that are known by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.errors import FitError, FitLostError, NotEnoughHistoryError, StateError
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.evaluation.comparisons import days_of, overlap
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.monitoring.champion import positions_of, trained
from finflow.pipelines.samples.as_known import find_stretches, samples_as_known

if TYPE_CHECKING:
    from finflow.models.samples import SampleIndex, Samples
    from finflow.pipelines.core.manifests import CleanManifest
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.monitoring.champion import Trained


@dataclass(frozen=True, eq=False)
class Scored:
    """Samples with a stored prediction.

    Attributes:
        frame: a row a sample: `time` (midnight of its date); `version` (who answered); `live` (served live, not by a backfill); `known`
            (every target is known at the as-of); `loss` (the deciding one) and `reference` (that of the reference's answer to the same
            sample, fitted on the same rows), NaN where the target is not known; and a column a signal and a coverage.
        sessions: datetime64[D], ascending; every session of the data up to the as-of, with predictions or not.
        signals: names of the columns that say what a prediction says.
        nominal: by name of the columns of coverage, what it aims at.
        horizon: dates that a label spans.
        absent: samples with stored rows that can no longer be made.
        trouble: why there is no loss of the reference, or empty.
    """

    frame: pd.DataFrame
    sessions: NDArray[np.datetime64]
    signals: tuple[str, ...]
    nominal: Mapping[str, float]
    horizon: int
    absent: int
    trouble: str

    def by_version(self, version: int) -> pd.DataFrame:
        """The samples that a version answered over the last sessions."""
        return self.frame[self.frame["version"] == version]


@dataclass
class _Parts:
    """What was gathered, pass after pass."""

    frames: list[pd.DataFrame] = field(default_factory=list)
    signals: dict[str, None] = field(default_factory=dict)
    nominal: dict[str, float] = field(default_factory=dict)
    trouble: dict[str, None] = field(default_factory=dict)


def read_scored(context: Context, clean: CleanManifest, champion: Trained, now: Samples) -> Scored:
    """Judge the stored out-of-sample predictions of the last sessions that count.

    Of each date what was served live, else the newest backfill, by the champion of that date or by the champion of now: what anybody else
    was asked for a trial is not the champion's. The origin of a forecast is what was known at its date, its target what is known now.

    Args:
        now: every sample known at the batch's as-of, targets included as far as they are known.
    """
    sessions = np.unique(now.observations.time.astype("datetime64[D]"))
    rows = _rows(context, clean, champion, sessions, now)
    problem, parts = context.problem, _Parts()
    absent = 0
    if len(rows):
        dates = [f"{day:%Y-%m-%d}" for day in pd.DatetimeIndex(rows["time"].dt.normalize().unique()).sort_values()]
        answered = 0
        models: dict[int, Trained] = {}
        for part in samples_as_known(context, clean, find_stretches(context, clean, dates), dates):
            for version, group in rows.groupby("version", sort=True):
                chosen = part.take(positions_of(part, group))
                if not len(chosen):
                    continue
                answered += len(chosen)
                number = int(str(version))
                if number not in models:
                    models[number] = trained(context, clean, number) if number != champion.version else champion
                _judge(context, chosen, _targets(chosen, now), group, models[number], parts)
        absent = len(rows.drop_duplicates(["entity", "time"])) - answered
    empty = pd.DataFrame({"time": np.empty(0, "datetime64[ns]"), "version": np.empty(0, int), "live": np.empty(0, bool)})
    empty = empty.assign(known=np.empty(0, bool), loss=np.empty(0), reference=np.empty(0))
    return Scored(
        frame=pd.concat(parts.frames, ignore_index=True) if parts.frames else empty,
        sessions=sessions,
        signals=tuple(parts.signals),
        nominal=parts.nominal,
        horizon=1 if problem.independent or not now.index.labelled.any() else overlap(now.index.take(np.flatnonzero(now.index.labelled))),
        absent=absent,
        trouble="; ".join(parts.trouble),
    )


def wanted_sessions(definition: Definition, sessions: NDArray[np.datetime64], now: Samples) -> NDArray[np.datetime64]:
    """The sessions from which on predictions count: the last ones, and the last whose targets are known, which may lie long before (by
    the outcome window of a loan).

    Args:
        sessions: datetime64[D], ascending.
    """
    settings = definition.monitoring
    wanted = sessions[-(max(settings.performance_sessions, settings.sessions) + definition.window.horizon) :]
    labelled = np.unique(now.index.time[now.index.labelled].astype("datetime64[D]"))[-settings.performance_sessions :]
    return sessions[sessions >= min(wanted[0], labelled[0])] if len(labelled) else wanted


def _rows(
    context: Context,
    clean: CleanManifest,
    champion: Trained,
    sessions: NDArray[np.datetime64],
    now: Samples,
) -> pd.DataFrame:
    """Prediction rows that count, one for each entity, date and horizon."""
    wanted = wanted_sessions(context.definition, sessions, now)
    if not len(wanted):
        return pd.DataFrame()
    rows = Predictions(context.lake, context.name).read(pd.Timestamp(wanted[0]), pd.Timestamp(wanted[-1]))
    if rows.empty:
        return rows
    rows = rows[~rows["in_sample"].astype(bool)]
    days, place = np.unique(rows["time"].dt.normalize().to_numpy("datetime64[us]"), return_inverse=True)
    moves = [(pd.Timestamp(row.effective_as_of), row.version) for row in context.promotions.rows() if row.moves and row.version is not None]
    instants = published(context.definition, pd.DatetimeIndex(days))
    then = np.array([_effective(moves, instant) for instant in instants], dtype=np.int64)[place] if len(days) else np.empty(0, np.int64)
    mine = rows["version"].to_numpy() == champion.version
    rows = rows[mine | (rows["version"].to_numpy() == then)]
    order = rows.assign(__live=rows["backfill_id"].isna())
    order = order.sort_values(["__live", "scored_at", "version", "input_digest"], kind="stable")
    return order.drop_duplicates(["entity", "time", "horizon"], keep="last").reset_index(drop=True)


def _effective(moves: Sequence[tuple[pd.Timestamp, int]], instant: pd.Timestamp) -> int:
    """The version that was champion then; -1: none."""
    return next((version for since, version in reversed(moves) if since <= instant), -1)


def _judge(context: Context, chosen: Samples, index: SampleIndex, rows: pd.DataFrame, model: Trained, parts: _Parts) -> None:
    """Append a row a sample to the parts.

    Args:
        chosen: as known at their dates.
        index: the same samples with the targets that are known now.
    """
    prediction = context.problem.answers(rows, chosen.index, chosen.observations.entities)
    keys = pd.MultiIndex.from_arrays([_names(chosen), index.time.astype("datetime64[us]")])
    live = rows.drop_duplicates(["entity", "time"]).set_index(["entity", "time"])["__live"]
    judged = pd.DataFrame({"time": days_of(index.time), "version": model.version, "live": live.reindex(keys).to_numpy(dtype=bool)})
    judged["known"] = index.labelled
    for name, values in context.problem.signals(prediction).items():
        judged[name] = values
        parts.signals[name] = None
    places = np.flatnonzero(judged["known"])
    judged["loss"], judged["reference"] = np.nan, np.nan
    if len(places):
        answer, targets = prediction.take(places), index.take(places)
        judged.loc[places, "loss"] = context.problem.losses(answer, targets)[context.definition.gate.loss]
        for metric in context.problem.coverages(answer, targets):
            judged.loc[places, metric.name] = np.asarray(metric.components[0], dtype=np.float64)
            parts.nominal[metric.name] = float(metric.target or 0.0)
        try:
            if not model.is_reference:
                judged.loc[places, "reference"] = context.problem.losses(model.reference.predict(chosen.take(places)), targets)[
                    context.definition.gate.loss
                ]
        except (FitError, NotEnoughHistoryError, StateError) as error:
            if isinstance(error, FitLostError):
                raise
            parts.trouble[f"{context.definition.reference} could not be fitted on what version {model.version} was trained on: {error}"] = (
                None
            )
    parts.frames.append(judged)


def _targets(chosen: Samples, now: Samples) -> SampleIndex:
    """The index of the samples as known at their dates, with the targets known now: none where the row is gone or not labelled."""
    there = pd.MultiIndex.from_arrays([_names(now), now.index.time])
    place = there.get_indexer(pd.MultiIndex.from_arrays([_names(chosen), chosen.index.time]))
    placed, absent = now.index.take(np.maximum(place, 0)), place < 0
    nat = np.datetime64("NaT", "ns")
    return replace(
        chosen.index,
        target=np.where(absent[:, None], np.float32(np.nan), placed.target),
        label_start=np.where(absent, nat, placed.label_start),
        label_end=np.where(absent, nat, placed.label_end),
    )


def _names(samples: Samples) -> NDArray[np.object_]:
    """The entity of each sample."""
    return np.asarray(samples.observations.entities, dtype=object)[samples.index.entity]
