"""What a monitoring finds: one record a check, measured or not, with the words that a person reads."""

from __future__ import annotations

from dataclasses import dataclass

from finflow.pipelines.core.manifests import JsonRecord

MEASURED, NOT_MEASURED = "measured", "not measured"
#: parts of a monitoring, in the order of its report; a training may answer what alarms in the last four
DATA, FEATURES, PREDICTIONS, LOSS, COVERAGE = "data", "features", "predictions", "loss", "coverage"
PARTS = (DATA, FEATURES, PREDICTIONS, LOSS, COVERAGE)


@dataclass(frozen=True)
class MonitoringCheck(JsonRecord):
    """One check of one subject.

    Attributes:
        part: data | features | predictions | loss | coverage.
        check: freshness, gaps, psi, ks, shift, spread, a loss, `excess loss`, coverage; the part's name where it was not measured.
        subject: a feature, a signal of the predictions, a model, an interval.
        status: measured | not measured; then `detail` says why, and the numbers are None.
        value: what was found.
        threshold: what it must pass to raise an alarm; None: it never does.
        low, high: of drift, what undisturbed windows stay within; of loss and coverage, the 95 % interval.
        detail: in words.
    """

    part: str
    check: str
    subject: str
    status: str
    value: float | None
    threshold: float | None
    low: float | None
    high: float | None
    alarm: bool
    detail: str

    @property
    def measured(self) -> bool:
        return self.status == MEASURED

    @property
    def drift(self) -> bool:
        """An alarm that a training may answer: late data are none."""
        return self.alarm and self.part != DATA


def measured(
    part: str,
    check: str,
    subject: str,
    value: float,
    *,
    threshold: float | None = None,
    low: float | None = None,
    high: float | None = None,
    alarm: bool = False,
    detail: str = "",
) -> MonitoringCheck:
    return MonitoringCheck(part, check, subject, MEASURED, value, threshold, low, high, alarm, detail)


def not_measured(part: str, reason: str) -> MonitoringCheck:
    """A whole part that cannot be measured, with the reason."""
    return MonitoringCheck(part, part, "all", NOT_MEASURED, None, None, None, None, False, reason)


def number(value: float | None) -> str:
    """Three significant digits."""
    return "-" if value is None else f"{value:.3g}"
