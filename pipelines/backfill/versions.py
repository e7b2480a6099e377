"""Which version answers each date of a backfill, and in which table that version was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from finflow.pipelines.backfill.choice import RETRAIN_PREFIX, Choice
from finflow.pipelines.backfill.walk_forward import walk_choices
from finflow.pipelines.core.manifests import CleanManifest
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.promotions import trained_as_of
from finflow.pipelines.lake.walks import WalkRecord
from finflow.pipelines.scoring.score import champion_version


def choosing(context: Context, model: str) -> Context:
    """The context whose promotions name the versions of a way of choosing the model: the definition's decisions, or those of a walk.

    Args:
        model: champion, as-of, a version's number, retrain-monthly or retrain-quarterly.
    """
    if model.startswith(RETRAIN_PREFIX):
        return replace(context, promotions=WalkRecord(context.lake, context.name, model.removeprefix(RETRAIN_PREFIX)))
    return context


def choose_versions(
    context: Context,
    model: str,
    dates: Sequence[str],
    clean: CleanManifest,
    failures: Mapping[str, str],
) -> dict[str, Choice]:
    """By date, the version that answers.

    Args:
        context: see `choosing`.
        failures: of a walk, by period, why its model could not be trained.

    Raises:
        RegistryError: a version that was never registered.
    """
    if model.startswith(RETRAIN_PREFIX):
        return walk_choices(context, model.removeprefix(RETRAIN_PREFIX), dates, clean, failures)
    if model == "as-of":
        versions = _effective(context, dates)
    elif model == "champion":
        champion = champion_version(context) if context.promotions.champion() is not None else None
        versions = dict.fromkeys(dates, champion)
    else:
        trained_as_of(context.promotions, int(model))
        versions = dict.fromkeys(dates, int(model))
    return {date: Choice(version, "" if version else "no version was effective then") for date, version in versions.items()}


def _effective(context: Context, dates: Sequence[str]) -> dict[str, int | None]:
    """By date, the version effective at its as-of; asked once between any two decisions, since only a decision changes it."""
    instants = published(context.definition, pd.DatetimeIndex(list(dates)))
    decided = pd.DatetimeIndex(sorted(pd.Timestamp(row.effective_as_of) for row in context.promotions.rows()), tz="UTC")
    by_place: dict[int, int | None] = {}
    versions = {}
    for date, instant, place in zip(dates, instants, decided.searchsorted(instants, side="right").tolist(), strict=True):
        if place not in by_place:
            by_place[place] = context.promotions.effective(instant)
        versions[date] = by_place[place]
    return versions
