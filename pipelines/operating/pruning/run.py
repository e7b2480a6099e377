"""Freeing what no recorded run needs: the only thing in finflow that deletes.

Rows of predictions, promotions, ledger and monitoring and the losses of decisions always stay, and so do MLflow's runs with their metrics,
reports, and every version that was champion or may become it. What goes is what can be made again, and old versions of tables that nobody
recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from finflow.pipelines.core.errors import ConflictError, FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import JsonRecord
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.operating.pruning.folders import waste_folders
from finflow.pipelines.operating.pruning.mlflow import waste_mlflow
from finflow.pipelines.operating.pruning.needs import RetentionRule, find_needs
from finflow.pipelines.operating.pruning.tables import waste_tables
from finflow.pipelines.tracking.store import store_client


@dataclass(frozen=True)
class Freed(JsonRecord):
    """How many things of a kind, and their bytes."""

    kind: str
    count: int
    bytes: int


@dataclass(frozen=True)
class PruneResult(JsonRecord):
    """What a prune frees.

    Attributes:
        keep: the rule.
        deleted: whether it was done; else it would be.
        freed: by kind.
        bytes: of all.
        kept_runs: trainings and periods of walks that stay whole or in part.
        notes: what a person should know, in words.
    """

    keep: str
    deleted: bool
    freed: tuple[Freed, ...]
    bytes: int
    kept_runs: int
    notes: tuple[str, ...]


def prune(home: Home, keep: str, delete: bool, *, say: Callable[[PruneResult], None] | None = None, now: str | None = None) -> PruneResult:
    """Find what no recorded run needs, and delete it if told to. Killed in the middle, the same command goes on.

    Args:
        keep: the rule: an age (`90d`) or a number of runs of each definition (`20-runs`). What is younger than a day stays in any case.
        delete: really do it.
        say: told what will be freed, before anything is.
        now: the present instant (ISO), the clock's by default.

    Raises:
        FinflowError: a rule that is none; another prune runs.
        StateError: a table cannot be read: nothing is deleted.
        ConflictError: a training began while it was deleting; what was not deleted yet stays.
    """
    from filelock import FileLock, Timeout

    rule = RetentionRule.parse(keep)
    moment = pd.Timestamp.now("UTC") if now is None else pd.Timestamp(now)
    home.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home.root / "prune.lock", timeout=0):
            return _prune(home, keep.strip(), rule, delete, say, moment)
    except Timeout:
        raise FinflowError("another `finflow prune` is at work on this home: wait for it.") from None


def _prune(
    home: Home, keep: str, rule: RetentionRule, delete: bool, say: Callable[[PruneResult], None] | None, now: pd.Timestamp
) -> PruneResult:
    client = store_client(home)
    before = _records(home)
    needs = find_needs(home, client, rule, now)
    waste = [
        *waste_folders(home, needs, now),
        *waste_mlflow(home, client, needs, now),
        *waste_tables(Lake(home.lake), needs, now),
    ]
    kinds = dict.fromkeys(one.kind for one in waste)
    freed = tuple(
        Freed(kind, sum(one.kind == kind for one in waste), sum(one.bytes for one in waste if one.kind == kind)) for kind in kinds
    )
    notes = (
        ("A run that stays was made by a finflow that did not record what it needs: all fits and samples stay.",) if needs.unknown else ()
    )
    result = PruneResult(keep, delete, freed, sum(one.bytes for one in freed), len(needs.runs), notes)
    if say is not None:
        say(result)
    if delete:
        for one in waste:
            _check_quiet(home, before)
            one.free()
    return result


def _records(home: Home) -> dict[str, int]:
    """The records of what runs need, and when each was written: a training writes its own before it looks for fits."""
    return {path.name: path.stat().st_mtime_ns for path in home.runs.glob("*.json")} if home.runs.is_dir() else {}


def _check_quiet(home: Home, before: dict[str, int]) -> None:
    """Raises ConflictError: a training began since what is needed was looked up; what it needs may be about to go."""
    if not _records(home).items() <= before.items():  # records that this prune removed are no matter
        raise ConflictError(
            "a training began meanwhile, and what it needs is not known yet: the rest stays. Run the command again after it."
        )
