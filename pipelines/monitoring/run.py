"""Monitoring: does what the champion was trained on still hold, and what are its predictions worth. It reports, and trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import ConflictError, DiskFullError, FinflowError, FitLostError, UnreachableError
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.monitoring_checks import COVERAGE, FEATURES, LOSS, PREDICTIONS, MonitoringCheck, not_measured
from finflow.pipelines.lake.monitorings import Monitorings
from finflow.pipelines.monitoring.champion import champion_at
from finflow.pipelines.monitoring.data import check_data
from finflow.pipelines.monitoring.drift import check_features, check_predictions
from finflow.pipelines.monitoring.log import log_monitoring
from finflow.pipelines.monitoring.pages import write_pages
from finflow.pipelines.monitoring.performance import check_coverage, check_loss
from finflow.pipelines.monitoring.result import MonitoringResult, Pages
from finflow.pipelines.monitoring.scored import read_scored
from finflow.pipelines.samples.as_known import rows_as_known
from finflow.pipelines.samples.windows import build_samples

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import CleanManifest
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.monitoring.champion import Trained
    from finflow.pipelines.monitoring.scored import Scored

#: trouble of the moment: it says nothing of the champion, and the same command again may end otherwise
_PASSING = (ConflictError, DiskFullError, FitLostError, UnreachableError)


def monitor(context: Context, clean: CleanManifest) -> MonitoringResult:
    """Check data, features, predictions, losses and coverage as of a validated batch's instant; record, report and log what was found.

    What cannot be measured (no champion, no predictions, targets not known yet) is said to be so, with the reason; it is no failure.

    Raises:
        StateError, ConflictError: the tables cannot be read or written.
    """
    champion = champion_at(context, clean)
    pages = Pages()
    checks = tuple(check_data(context, clean) + _check_champion(context, clean, champion, pages))
    result = _result(context, clean, champion, checks)
    report = write_pages(context, result, pages)
    run_id = log_monitoring(context, result, report)
    written = Monitorings(context.lake, context.name).record(
        result.key, pd.Timestamp(clean.as_of), None if champion is None else champion.version, (clean.version, clean.digest), checks
    )
    return replace(result, written=written, report=str(report.html), run_id=run_id)


def _result(context: Context, clean: CleanManifest, champion: Trained | None, checks: tuple[MonitoringCheck, ...]) -> MonitoringResult:
    """What the checks say, before it is reported, logged and recorded."""
    definition = context.definition
    table = Monitorings(context.lake, definition.name)
    who = (
        None
        if champion is None
        else {"version": champion.version, "candidate": champion.row.candidate, "as_of": champion.as_of.isoformat()}
    )
    before = table.alarms_before(pd.Timestamp(clean.as_of), None if champion is None else champion.version)
    alarms = {(one.part, one.check, one.subject): one for one in checks if one.alarm}
    return MonitoringResult(
        definition=definition.name,
        key=digest_json([definition.name, clean.as_of, who, clean.digest, [one.to_dict() for one in checks]]),
        as_of=clean.as_of,
        champion=who,
        data_version=clean.version,
        data_digest=clean.digest,
        checks=checks,
        alarms=tuple(f"{one.subject}: {one.detail}" for one in alarms.values()),
        drift=any(one.drift for one in alarms.values()),
        new_alarms=tuple(f"{one.subject}: {one.detail}" for place, one in alarms.items() if place not in before),
        new_drift=any(one.drift for place, one in alarms.items() if place not in before),
        retrain=definition.monitoring.retrain,
        table=table.table,
        written=0,
        report="",
        run_id="",
    )


def _check_champion(context: Context, clean: CleanManifest, champion: Trained | None, pages: Pages) -> list[MonitoringCheck]:
    """The four parts that need a champion."""
    definition = context.definition
    parts = (FEATURES, PREDICTIONS, LOSS, COVERAGE)
    if champion is None:
        reason = f"there was no champion as of {clean.as_of[:10]}: finflow train {definition.name}"
        return [not_measured(part, reason) for part in parts]
    as_of = pd.Timestamp(clean.as_of)
    rows = rows_as_known(context, clean, as_of, as_of.tz_localize(None))
    now = build_samples(definition, rows.latest, as_of, rows.revisions)
    pages.champion, pages.now = champion, now
    checks = _measured((FEATURES,), lambda: check_features(definition, champion, now))
    return checks + _measured(parts[1:], lambda: _check_scored(definition, champion, read_scored(context, clean, champion, now), pages))


def _check_scored(definition: Definition, champion: Trained, scored: Scored, pages: Pages) -> list[MonitoringCheck]:
    """The three parts that need predictions."""
    pages.scored = scored
    return [
        *_measured((PREDICTIONS,), lambda: check_predictions(definition, champion, scored)),
        *_measured((LOSS,), lambda: check_loss(definition, champion, scored)),
        *_measured((COVERAGE,), lambda: check_coverage(definition, scored)),
    ]


def _measured(parts: Sequence[str], check: Callable[[], list[MonitoringCheck]]) -> list[MonitoringCheck]:
    """Parts' checks, or why they cannot be measured: one part's trouble leaves the others alone."""
    try:
        return check()
    except _PASSING:
        raise
    except FinflowError as error:
        return [not_measured(part, str(error)) for part in parts]
