"""How a definition is operated once it stands: when it runs, and what is watched."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.settings.timing import Timing, parse_timing


class Schedule(Settings):
    """When a server runs each deployment of a definition.

    Each is a cron line (`30 22 * * 1-5`, read in `timezone`) or words that follow an exchange's sessions: `after the close of XNYS`,
    `weekly after the close of XNYS`, `monthly after the close of XNYS`. A run after a close begins when that session's rows are published.
    """

    train: str | None = Field(default=None, description="when a training runs; none: only when somebody asks for it")
    score: str | None = Field(default=None, description="when the newest session is scored; none: only when somebody asks for it")
    monitor: str | None = Field(default=None, description="when the champion is monitored; none: only when somebody asks for it")
    timezone: str = Field(default="UTC", description="IANA zone that cron lines are read in")
    paused: bool = Field(default=False, description="a server's new schedules begin paused, until somebody switches them on")
    late_minutes: int = Field(default=240, ge=0, description="how long a run waits for its session's rows before it says `late`")
    poll_seconds: float = Field(default=60, gt=0, description="between two looks for them, 20 at least")

    @field_validator("train", "score", "monitor")
    @classmethod
    def _timing(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                parse_timing(value)
        except FinflowError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"there is no time zone {value[:40]!r}: write it as America/New_York, Asia/Shanghai or UTC") from None
        return value

    def timing(self, deployment: str) -> Timing | None:
        """When `train`, `score` or `monitor` runs; None: only when somebody asks for it (as every other deployment does)."""
        text = getattr(self, deployment) if deployment in ("train", "score", "monitor") else None
        return None if text is None else parse_timing(text)


class Monitoring(Settings):
    """What `finflow monitor` watches, and from where on it speaks.

    An alarm needs an effect that matters (the thresholds here) and one that chance does not explain (at `level`).
    """

    sessions: int = Field(default=60, ge=20, le=1000, description="the last sessions, which are compared with what the champion knew")
    performance_sessions: int = Field(default=250, ge=20, le=5000, description="the last scored sessions whose losses and intervals count")
    minimum_dates: int = Field(default=20, ge=10, description="sessions with predictions, or known targets, below which nothing is said")
    psi: float = Field(default=0.25, gt=0, description="population stability index that matters (Siddiqi 2006)")
    ks: float = Field(
        default=0.2, gt=0, lt=1, description="Kolmogorov-Smirnov distance that matters: a shift by half a deviation makes 0.2"
    )
    shift: float = Field(default=0.5, gt=0, description="move of the mean that matters, in standard deviations of the training data")
    spread: float = Field(default=1.5, gt=1, description="factor of the standard deviation that matters, up or down")
    loss: float = Field(default=0.02, ge=0, description="part by which the champion's loss may lie above the reference's")
    coverage: float = Field(default=0.05, gt=0, lt=1, description="distance of an interval's coverage from nominal that matters")
    behind: int = Field(default=1, ge=0, description="published sessions that the data may lack at the end")
    gaps: int = Field(default=0, ge=0, description="sessions of the calendar without any row, among the last ones, that are tolerated")
    level: float = Field(
        default=0.01,
        gt=0,
        le=0.2,
        description="chance of a false alarm in each of the four things judged by chance: features, predictions, loss, coverage",
    )
    quarantined: float = Field(default=0.01, ge=0, le=1, description="share of the rows that came above which quarantine raises an alert")
    retrain: Literal["never", "on-drift"] = Field(default="on-drift", description="whether drift starts a training")
