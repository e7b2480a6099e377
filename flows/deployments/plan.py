"""What is deployed for each definition: which flow, on which queue, when, with which form. Nothing here speaks to a server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from finflow.flows.runs.zombies import LONGEST_HEARTBEAT, heartbeat_seconds
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import DEFINITIONS, definition_path, load_definition
from finflow.pipelines.operating.schedules import planned
from finflow.pipelines.settings.timing import AfterClose, Timing

POOL_TYPE = "process"
#: how finflow's schedule is known among those a person may add to a deployment: its slug begins so, and goes on with the definition's words
SLUG = "finflow: "
#: nothing that was asked for is lost: it waits for the run before it. A scheduled run that waited too long ends by itself as superseded,
#: and work done before is found again in seconds, so that waiting costs little.
COLLISION = "ENQUEUE"
#: coming runs that a schedule holds: Prefect takes 6,500 characters, of which a run needs 16
LONGEST_SCHEDULE = 250
LONGEST_DAYS = 400


@dataclass(frozen=True)
class Queue:
    """A work queue of the pool: a lower `priority` goes first; `limit` runs at once (None: no limit)."""

    name: str
    priority: int
    limit: int | None
    description: str


#: trainings and backfills take a queue's one place each and never those of scoring
QUEUES = (
    Queue("live", 1, None, "Scoring, monitoring and approvals: never behind a training or a backfill."),
    Queue("training", 2, 1, "Trainings, one at a time: each uses all cores."),
    Queue("backfill", 3, 1, "Backfills, one at a time."),
)


@dataclass(frozen=True)
class Kind:
    """A flow that is deployed for every definition."""

    name: str
    entrypoint: str
    queue: str
    what: str


KINDS = (
    Kind("train", "finflow.flows.train.train_flow", "training", "Trains every candidate, compares them with the baselines, and decides."),
    Kind(
        "try",
        "finflow.flows.try_candidates.try_flow",
        "training",
        "Compares candidates on folds before the first test date; decides nothing.",
    ),
    Kind("score", "finflow.flows.score.score_flow", "live", "Predicts from the newest session with the champion, and keeps the rows."),
    Kind("backfill", "finflow.flows.backfill.backfill_flow", "backfill", "Fills the predictions of a range of dates."),
    Kind("monitor", "finflow.flows.monitor.monitor_flow", "live", "Freshness, gaps, drift and realised performance of the champion."),
    Kind("approve", "finflow.flows.approve.approve_flow", "live", "Promotes or refuses a version that waits for a person."),
)


@dataclass(frozen=True)
class Planned:
    """One deployment.

    Attributes:
        name: the definition's NAME as the flow is given it: its name, or the absolute path of its file.
        timing: when it runs by itself; None: never.
        active: whether a new schedule starts at once. One over a stored history does not: nothing new would ever come. Nor does one that
            the definition has begin `paused`.
    """

    kind: Kind
    definition: Definition
    name: str
    timing: Timing | None
    active: bool

    @property
    def full_name(self) -> str:
        """As Prefect writes it: flow/deployment."""
        return f"{self.kind.name}/{self.definition.name}"

    @property
    def slug(self) -> str | None:
        """What the UI calls the schedule: the definition's words."""
        return None if self.timing is None else f"{SLUG}{getattr(self.definition.schedule, self.kind.name)}"

    @property
    def tags(self) -> list[str]:
        return ["finflow", self.definition.name] + (["simulated"] if self.definition.simulated else [])

    @property
    def description(self) -> str:
        lines = [f"{self.definition.title or self.definition.name}. {self.kind.what}"]
        if self.timing is not None:
            lines.append(f"Runs {getattr(self.definition.schedule, self.kind.name)}.")
            if not self.active:
                why = "It is so defined" if self.definition.source.grows else "Its source is a stored history, to which nothing is added"
                lines.append(f"{why}: the schedule begins paused.")
        return "\n\n".join(lines)


def plan_deployments(names: list[str]) -> list[Planned]:
    """The deployments of the shipped definitions and of those named (names or paths), in order of their definitions.

    Raises:
        DefinitionError: a definition cannot be read, or two of different files have one name.
    """
    shipped = {path.stem: path.stem for path in sorted(DEFINITIONS.glob("*.yaml"))}
    deployments: list[Planned] = []
    places: dict[str, Path] = {}
    for name in dict.fromkeys([*shipped, *(_absolute(name) for name in names)]):
        definition, path = load_definition(name), definition_path(name).resolve()
        if definition.name in places:
            if places[definition.name] == path:
                continue
            raise DefinitionError(f"{path} and {places[definition.name]} are both named {definition.name!r}: rename one of them.")
        places[definition.name] = path
        timings = {kind: definition.schedule.timing(kind.name) for kind in KINDS}
        active = definition.source.grows and not definition.schedule.paused
        deployments += [Planned(kind, definition, name, timing, active) for kind, timing in timings.items()]
    return deployments


def coming_runs(definition: Definition, timing: AfterClose, now: pd.Timestamp) -> list[pd.Timestamp]:
    """The instants (in the exchange's time zone) of the coming runs, as many as a schedule holds."""
    zone = exchange_zone(timing.exchange)
    due = planned(definition, timing, now, now + pd.Timedelta(days=LONGEST_DAYS))
    return [one.at.tz_convert(zone) for one in due[:LONGEST_SCHEDULE]]


def rule_of(runs: list[pd.Timestamp]) -> str:
    """Instants as a recurrence rule (RFC 5545) of single dates, in local time: the schedule names the zone."""
    return "RDATE:" + ",".join(f"{run:%Y%m%dT%H%M%S}" for run in runs)


def runs_of(rule: str, zone: str) -> list[pd.Timestamp]:
    """The instants that a rule written by `rule_of` names; empty where it is another one."""
    line = next((line for line in rule.splitlines() if line.startswith("RDATE:")), "RDATE:")
    texts = [text for text in line.removeprefix("RDATE:").split(",") if text]
    return [pd.Timestamp(pd.to_datetime(text, format="%Y%m%dT%H%M%S")).tz_localize(zone) for text in texts]


def exchange_zone(exchange: str) -> str:
    """The IANA name of the time zone that an exchange's clocks show."""
    import exchange_calendars

    return str(exchange_calendars.get_calendar(exchange).tz)


def form_of(planned: Planned) -> dict[str, Any]:
    """The JSON Schema of the flow's parameters, from which the UI makes a form; the definition's name is its only choice there."""
    from prefect.utilities.callables import parameter_schema
    from prefect.utilities.importtools import import_object

    schema = parameter_schema(import_object(planned.kind.entrypoint)).model_dump(mode="json", exclude_none=True)
    name = schema["properties"]["name"]
    schema["properties"]["name"] = {**name, "enum": [planned.name], "default": planned.name}
    return schema


def job_variables() -> dict[str, Any]:
    """The settings of a run's process: how often it says that it lives (see flows/runs/zombies.py), where that is not Prefect's default."""
    seconds = heartbeat_seconds()
    return {} if seconds == LONGEST_HEARTBEAT else {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(seconds)}}


def _absolute(name: str) -> str:
    return os.path.abspath(os.path.expanduser(name)) if name.endswith((".yaml", ".yml")) else name
