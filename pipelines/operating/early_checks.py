"""What is wrong with a command's options, said before servers are started for it: they take ten seconds and more.

The same checks are made again where the work is done; nothing is decided here. The source is read only where the tables, as they are, do
not know an entity or a date that newer data may bring.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.options import parse_choice, parse_only, parse_range

if TYPE_CHECKING:
    from finflow.pipelines.core.home import Home
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.lake.lake import Lake


def check_backfill(
    definition: Definition, home: Home, start: str, end: str, entity: str | None, only: str, model: str, retrain: str | None
) -> None:
    """Raises FinflowError: a date, entity, version or choice that is none."""
    from finflow.pipelines.lake.lake import Lake

    first, last = parse_range(start, end)
    parse_only(only)
    chosen = parse_choice(model, retrain)
    lake = Lake(home.lake)
    if definition.calendar is not None:
        from finflow.pipelines.core.calendars import sessions

        if not len(sessions(definition.calendar, first, last)):
            raise FinflowError(f"there is no trading day from {first:%Y-%m-%d} to {last:%Y-%m-%d}: give other dates.")
    if chosen.isdigit():
        _check_version(definition, lake, int(chosen))
    if entity is not None:
        _unless_newer(definition, home, lambda: _check_entity(definition, lake, entity))


def check_train(definition: Definition, home: Home, as_of: str | None, candidates: Sequence[str] | None, hardware: dict[str, Any]) -> None:
    """Raises FinflowError: a date, candidate, accelerator or precision that is none, a deciding loss that the problem does not have, or a
    recipe that cannot answer what it asks."""
    from finflow.models.base import PRECISIONS, Hardware
    from finflow.pipelines.fits.fits import resolved
    from finflow.pipelines.samples.windows import task_of
    from finflow.pipelines.training.plan import check_loss, check_recipes, chosen_recipes

    check_loss(definition)
    check_recipes(chosen_recipes(definition, candidates), task_of(definition, ()))
    resolved(Hardware(**hardware))
    if hardware["precision"] not in PRECISIONS:
        raise FinflowError(f"--precision {hardware['precision']!a}: expected one of {', '.join(PRECISIONS)}.")
    _check_as_of(definition, home, as_of)


def check_score(definition: Definition, home: Home, as_of: str | None, version: int | None) -> None:
    """Raises FinflowError: a date or version that is none."""
    from finflow.pipelines.lake.lake import Lake

    if version is not None:
        _check_version(definition, Lake(home.lake), version)
    _check_as_of(definition, home, as_of)


def check_monitor(definition: Definition, home: Home, as_of: str | None) -> None:
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


def _check_as_of(definition: Definition, home: Home, as_of: str | None) -> None:
    from finflow.pipelines.data.knowledge import resolve_as_of

    if as_of is None:
        return
    _date(as_of)
    _unless_newer(definition, home, lambda: resolve_as_of(definition, home, as_of))


def _unless_newer(definition: Definition, home: Home, check: Callable[[], object]) -> None:
    """Make a check, and where it fails once more on what the source holds now."""
    from finflow.pipelines.data.ingest import ingest

    try:
        check()
    except FinflowError:
        ingest(definition, home)
        check()


def _check_version(definition: Definition, lake: Lake, version: int) -> None:
    from finflow.pipelines.lake.promotions import Promotions, trained_as_of

    trained_as_of(Promotions(lake, definition.name), version)


def _check_entity(definition: Definition, lake: Lake, entity: str) -> None:
    names = sorted(set(lake.read(f"raw/{definition.name}", columns=["entity"])["entity"]))
    if entity not in names:
        shown = ", ".join(map(str, names[:20])) + (" ..." if len(names) > 20 else "")
        raise FinflowError(f"--entity {entity!a}: there is no such entity; there are {shown}.")
