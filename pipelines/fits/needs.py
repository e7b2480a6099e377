"""What each training needs to be run again: written as it begins, read by `finflow prune`, which deletes nothing that a kept run names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import JsonRecord, SampleManifest
from finflow.pipelines.core.whole_files import write_whole

FORMAT = 1
TRAINING, WALK, TRIAL = "training", "walk", "trial"


@dataclass(frozen=True)
class RunNeeds(JsonRecord):
    """One training, or trial.

    Attributes:
        kind: training; walk: a period of a walk-forward backfill; or trial: recipes compared on development folds.
        at: when it was planned last (ISO, UTC).
        fits: keys, of the folds and of production.
        samples, validation: names of their folders.
        tables: the version that it read, by table.
    """

    run_key: str
    definition: str
    kind: str
    at: str
    fits: tuple[str, ...]
    samples: str
    validation: str
    tables: dict[str, int]


def record_needs(home: Home, definition_name: str, run_key: str, keys: Sequence[str], samples: SampleManifest, kind: str) -> None:
    """Write what a planned training needs, fits of these keys among it; planned again, it counts as used now, and keeps what was added."""
    clean = samples.clean
    recorded = _read(_path(home, run_key))
    needs = RunNeeds(
        run_key=run_key,
        definition=definition_name,
        kind=kind,
        at=pd.Timestamp.now("UTC").isoformat(),
        fits=tuple(dict.fromkeys([*(recorded.fits if recorded else ()), *keys])),
        samples=Path(samples.folder).name,
        validation=Path(clean.folder).name,
        tables={clean.table: clean.version, clean.raw.table: clean.raw.version},
    )
    _write(home, needs)


def add_fits(home: Home, run_key: str, keys: Sequence[str]) -> None:
    """Further fits of a training that was planned: those of production."""
    recorded = _read(_path(home, run_key))
    if recorded is not None and not set(keys) <= set(recorded.fits):
        _write(home, replace(recorded, fits=tuple(dict.fromkeys([*recorded.fits, *keys]))))


def read_needs(home: Home) -> list[RunNeeds]:
    """All that are recorded; one that cannot be read is left out."""
    recorded = (_read(path) for path in sorted(home.runs.glob("*.json")))
    return [needs for needs in recorded if needs is not None]


def _path(home: Home, run_key: str) -> Path:
    return home.runs / f"{run_key}.json"


def _read(path: Path) -> RunNeeds | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            return None
        return RunNeeds(**{**values, "fits": tuple(values["fits"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(home: Home, needs: RunNeeds) -> None:
    write_whole(_path(home, needs.run_key), json.dumps({"format": FORMAT, **needs.to_dict()}, indent=1))
