"""What is wrong with a command's options, said before servers are started for it: they take ten seconds and more.

The same checks are made again where the work is done; nothing is decided here. The source is read only where the tables, as they are, do
not know an entity or a date that newer data may bring.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

from finflow.models.base import PRECISIONS, Hardware
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.options import parse_choice, parse_only, parse_range
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.fits.fits import resolved
from finflow.pipelines.lake.promotions import trained_as_of
from finflow.pipelines.samples.development import development_settings
from finflow.pipelines.samples.windows import task_of
from finflow.pipelines.training.plan import check_loss, check_recipes, chosen_recipes


def check_backfill(context: Context, request: BackfillRequest) -> None:
    """Raises FinflowError: a date, entity, version or choice that is none."""
    first, last = parse_range(request.start, request.end)
    parse_only(request.only)
    chosen = parse_choice(request.model, request.retrain)
    if context.definition.calendar is not None and not len(sessions(context.definition.calendar, first, last)):
        raise FinflowError(f"there is no trading day from {first:%Y-%m-%d} to {last:%Y-%m-%d}: give other dates.")
    if chosen.isdigit():
        _check_version(context, int(chosen))
    entity = request.entity
    if entity is not None:
        _unless_newer(context, lambda: _check_entity(context, entity))


def check_train(context: Context, as_of: str | None, candidates: Sequence[str] | None, hardware: dict[str, Any]) -> None:
    """Raises FinflowError: a date, candidate, accelerator or precision that is none, a deciding loss that the problem does not have, or a
    recipe that cannot answer what it asks."""
    check_loss(context.definition)
    check_recipes(chosen_recipes(context.definition, candidates), task_of(context.definition, ()))
    resolved(Hardware(**hardware))
    if hardware["precision"] not in PRECISIONS:
        raise FinflowError(f"--precision {hardware['precision']!a}: expected one of {', '.join(PRECISIONS)}.")
    _check_as_of(context, as_of)


def check_trial(context: Context, as_of: str | None, candidates: Sequence[str] | None, hardware: dict[str, Any]) -> None:
    """Raises FinflowError: as `check_train`; or there is nothing to try on, because rows without a time are all tested."""
    development_settings(context.definition)
    check_train(context, as_of, candidates, hardware)


def check_score(context: Context, as_of: str | None, version: int | None) -> None:
    """Raises FinflowError: a date or version that is none."""

    if version is not None:
        _check_version(context, version)
    _check_as_of(context, as_of)


def check_monitor(context: Context, as_of: str | None) -> None:
    """Raises FinflowError: an as-of that is no date, or lies ahead. A monitoring may stand after the last session in the data."""
    if as_of is None:
        return
    stamp = _date(as_of)
    now = datetime.datetime.now(datetime.UTC)
    if (stamp if stamp.tzinfo else stamp.replace(tzinfo=datetime.UTC)) > now:
        raise FinflowError(f"as-of {as_of[:40]} lies ahead: give a date up to today, {now:%Y-%m-%d}.")


def _date(as_of: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(as_of.strip())
    except ValueError:
        raise FinflowError(f"as-of {as_of[:40]!a} is no date: write it as 2018-12-31.") from None


def _check_as_of(context: Context, as_of: str | None) -> None:
    if as_of is None:
        return
    _date(as_of)
    _unless_newer(context, lambda: resolve_as_of(context, as_of))


def _unless_newer(context: Context, check: Callable[[], object]) -> None:
    """Make a check, and where it fails once more on what the source holds now."""
    try:
        check()
    except FinflowError:
        ingest(context)
        check()


def _check_version(context: Context, version: int) -> None:
    trained_as_of(context.promotions, version)


def _check_entity(context: Context, entity: str) -> None:
    names = sorted(set(context.lake.read(f"raw/{context.name}", columns=["entity"])["entity"]))
    if entity not in names:
        shown = ", ".join(map(str, names[:20])) + (" ..." if len(names) > 20 else "")
        raise FinflowError(f"--entity {entity!a}: there is no such entity; there are {shown}.")
