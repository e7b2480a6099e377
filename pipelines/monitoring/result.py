"""What a monitoring found, and the pages that it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.manifests import JsonRecord
from finflow.pipelines.lake.monitoring_checks import MonitoringCheck

if TYPE_CHECKING:
    from finflow.models.samples import Samples
    from finflow.pipelines.monitoring.champion import Trained
    from finflow.pipelines.monitoring.scored import Scored


@dataclass(frozen=True)
class MonitoringResult(JsonRecord):
    """What a monitoring found and left.

    Attributes:
        key: of the definition, as-of, champion, data and findings: the same again writes nothing.
        champion: version, candidate and as-of of the champion's training; None where there was no champion at the as-of.
        alarms: the checks that alarm, in words.
        drift: whether one of them is such that a training may answer it (late data and gaps are not).
        new_alarms: those of them that the monitoring before did not have, of the same champion.
        new_drift: whether one of the new alarms is of drift, which a training may answer.
        retrain: the definition's setting, for whoever starts trainings.
        written: rows written to `table`; 0: it was there.
        report: the HTML file; the Markdown lies beside it.
        run_id: the MLflow run.
    """

    definition: str
    key: str
    as_of: str
    champion: dict[str, Any] | None
    data_version: int
    data_digest: str
    checks: tuple[MonitoringCheck, ...]
    alarms: tuple[str, ...]
    drift: bool
    new_alarms: tuple[str, ...]
    new_drift: bool
    retrain: str
    table: str
    written: int
    report: str
    run_id: str


@dataclass
class Pages:
    """What the plots are drawn from, as far as it was had."""

    champion: Trained | None = None
    now: Samples | None = None
    scored: Scored | None = None


@dataclass(frozen=True)
class WrittenPages:
    """The files of a report; `plots` by caption."""

    html: Path
    markdown: Path
    plots: dict[str, Path]
