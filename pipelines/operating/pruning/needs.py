"""What a prune must leave: the runs that its rule keeps, and everything that they and the versions in use need."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.fits.needs import TRAINING, TRIAL, WALK, RunNeeds, read_needs
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.pending import APPROVED, FIRST_APPROVAL, REJECTED, pending_row
from finflow.pipelines.lake.promotions import HEAD_ACCEPTED, PromotionRow, Promotions, champion_row
from finflow.pipelines.lake.walks import WalkRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: what is younger may belong to something that runs now, and stays whatever the rule says
GRACE = pd.Timedelta(days=1)
ALWAYS = pd.Timestamp("1970-01-01", tz="UTC")
TABLES = ("raw", "clean", "quarantine", "predictions", "ledger", "monitoring", "promotions", "walk-monthly", "walk-quarterly")
_WALKS = ("monthly", "quarterly")
#: decisions of people; no training made them
_PEOPLE = ("rolled-back", FIRST_APPROVAL, APPROVED, REJECTED, HEAD_ACCEPTED)


@dataclass(frozen=True)
class RetentionRule:
    """What stays beside what is in use: runs of the last `days`, or the last `runs` of each definition. One of the two is set."""

    days: int | None = None
    runs: int | None = None

    @classmethod
    def parse(cls, text: str) -> RetentionRule:
        """`90d` or `20-runs`.

        Raises:
            FinflowError: neither.
        """
        found = re.fullmatch(r"([0-9]{1,6})(d|-runs?)", text.strip())
        if found is None or int(found[1]) < 1:
            raise FinflowError(f"--keep {text[:40]!a} is no rule: write an age such as 90d, or a number of runs such as 20-runs.")
        number = int(found[1])
        return cls(days=number) if found[2] == "d" else cls(runs=number)

    def cutoff(self, times: Iterable[pd.Timestamp], now: pd.Timestamp) -> pd.Timestamp:
        """The instant from which on everything stays, given when a definition's runs were made."""
        if self.days is not None:
            return now - pd.Timedelta(days=self.days)
        newest = sorted(times, reverse=True)
        assert self.runs is not None
        return newest[self.runs - 1] if len(newest) > self.runs else ALWAYS


@dataclass
class Needs:
    """What must stay.

    Attributes:
        cutoff: by definition, the instant from which on everything stays.
        runs: keys of the runs whose evaluation and logged artifacts stay: those of the rule, and those that made a version in use.
        fits, samples, validations: names of the folders that stay, of the rule's runs and those of the champion, the previous one and the
            one that waits.
        versions: by definition, the registered versions that a decision may still call for.
        tables: by table, the versions that kept runs and versions in use were made from.
        unknown: a kept run has no record of what it needs (an older finflow made it): fits and samples stay, all of them.
    """

    cutoff: dict[str, pd.Timestamp] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    fits: set[str] = field(default_factory=set)
    samples: set[str] = field(default_factory=set)
    validations: set[str] = field(default_factory=set)
    versions: dict[str, set[int]] = field(default_factory=dict)
    tables: dict[str, set[int]] = field(default_factory=dict)
    unknown: bool = False

    @property
    def earliest(self) -> pd.Timestamp:
        """For what does not say whose it is."""
        return min(self.cutoff.values(), default=ALWAYS)

    def keep(self, needs: RunNeeds) -> None:
        self.fits.update(needs.fits)
        self.samples.add(needs.samples)
        self.validations.add(needs.validation)
        for table, version in needs.tables.items():
            self.tables.setdefault(table, set()).add(version)


def find_needs(home: Home, client: MlflowClient, rule: RetentionRule, now: pd.Timestamp) -> Needs:
    """What must stay of a home."""
    recorded = {needs.run_key: needs for needs in read_needs(home)}
    evaluated = _evaluated(home)
    names = {needs.definition for needs in recorded.values()} | {name for name, _ in evaluated.values()} | _logged(client) | _listed(home)
    found, lake = Needs(), Lake(home.lake)
    for name in sorted(names):
        mine = {key: needs for key, needs in recorded.items() if needs.definition == name}
        times = {key: when for key, (owner, when) in evaluated.items() if owner == name}
        _add_definition(found, Promotions(lake, name, home.heads), rule, now, mine, times)
    return found


def _add_definition(
    found: Needs,
    promotions: Promotions,
    rule: RetentionRule,
    now: pd.Timestamp,
    recorded: dict[str, RunNeeds],
    evaluated: dict[str, pd.Timestamp],
) -> None:
    """Add what one definition needs.

    Args:
        recorded: what its runs need, by key.
        evaluated: since when their evaluations lie there.
    """
    name = promotions.name
    rows, walked = promotions.rows(), _walk_rows(promotions.lake, name)
    trainings = {key: when for key, when in evaluated.items() if key not in {row.run_key for row in walked}}
    trainings |= {row.run_key: pd.Timestamp(row.recorded_at) for row in rows if row.verdict not in _PEOPLE}
    trainings |= {key: pd.Timestamp(needs.at) for key, needs in recorded.items() if needs.kind == TRAINING}
    cutoff = found.cutoff[name] = rule.cutoff(trainings.values(), now)
    waiting, champion, makers = pending_row(rows), champion_row(rows), _makers(rows)
    named = {waiting.version if waiting else None, *((champion.version, champion.previous_version) if champion else ())}
    serving = {version for version in named if version is not None}

    whole = {key for key, when in trainings.items() if when >= cutoff} | {makers[version] for version in serving}
    found.unknown |= not whole <= set(recorded)
    whole |= {key for key, needs in recorded.items() if needs.kind in (WALK, TRIAL) and pd.Timestamp(needs.at) >= cutoff}
    for key in whole & set(recorded):
        found.keep(recorded[key])

    # A rollback may put any champion back, and an honest backfill asks for the champion of any date.
    in_use = {row.version for row in rows if row.moves and row.version is not None} | serving
    recent = {row.version for row in rows if row.version is not None and pd.Timestamp(row.recorded_at) >= cutoff}
    found.versions[name] = in_use | recent | {row.version for row in walked if row.version is not None}
    found.runs |= whole | {makers[version] for version in in_use}
    found.runs |= {row.run_key for row in walked if pd.Timestamp(row.recorded_at) >= cutoff}
    for row in [*rows, *walked]:
        if row.version in found.versions[name] and row.data_version is not None:
            found.tables.setdefault(f"clean/{name}", set()).add(row.data_version)


def _makers(rows: list[PromotionRow]) -> dict[int, str]:
    """By version, the run that made it: the first that names it."""
    found: dict[int, str] = {}
    for row in rows:
        if row.version is not None:
            found.setdefault(row.version, row.run_key)
    return found


def _walk_rows(lake: Lake, name: str) -> list[PromotionRow]:
    return [row for every in _WALKS for row in WalkRecord(lake, name, every).rows()]


def _evaluated(home: Home) -> dict[str, tuple[str, pd.Timestamp]]:
    """By run key, whose evaluation lies there, and since when."""
    found = {}
    for path in home.evaluations.glob("[!.]*/evaluation.json"):
        try:
            name = str(json.loads(path.read_text(encoding="utf-8"))["evaluation"]["definition"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found[path.parent.name] = (name, pd.Timestamp(path.stat().st_mtime, unit="s", tz="UTC"))
    return found


def _logged(client: MlflowClient) -> set[str]:
    return {experiment.name for experiment in client.search_experiments() if experiment.name != "Default"}


def _listed(home: Home) -> set[str]:
    """Definitions whose tables lie in a local lake; those of an object store are known by their runs."""
    location = home.lake.removeprefix("file://")
    if "://" in location:
        return set()
    return {path.parent.name for kind in TABLES for path in Path(location).glob(f"{kind}/*/_delta_log")}
