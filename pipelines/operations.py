"""How a definition is operated once it stands: when it runs, and what is watched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.registered import Settings


class Schedule(Settings):
    """When a server runs each deployment of a definition.

    Each is a cron line (`30 22 * * 1-5`, read in `timezone`) or words that follow an exchange's sessions: `after the close of XNYS`,
    `weekly after the close of XNYS`, `monthly after the close of XNYS`. A run after a close begins when that session's rows are published.
    """

    train: str | None = None
    score: str | None = None
    monitor: str | None = None
    timezone: str = "UTC"
    late_minutes: int = Field(default=240, ge=0, description="how long a run waits for its session's rows before it says `late`")
    poll_seconds: float = Field(default=60, gt=0, description="between two looks for them")


class Monitoring(Settings):
    """What `finflow monitor` watches, and from where on it speaks."""

    retrain: Literal["never", "on-drift"] = Field(default="on-drift", description="whether drift starts a training")
