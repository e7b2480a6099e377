"""The periods of a walk forward (see `pipelines.walk_forward`): months or quarters, each with the key of the decision at its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.definition import Definition
from pipelines.digest import digest_file, digest_json
from pipelines.folds import time_folds
from pipelines.manifests import Manifest, RawManifest

if TYPE_CHECKING:
    from pipelines.lake import Lake

MONTHS = {"monthly": 1, "quarterly": 3}


@dataclass(frozen=True)
class Period(Manifest):
    """A month or a quarter of the calendar: its first and last day, and the instant whose knowledge trains its model (None: no data)."""

    start: str
    end: str
    as_of: str | None
    key: str


def periods(definition: Definition, lake: Lake, raw: RawManifest, every: str, last: str) -> list[Period]:
    """The periods of a walk up to the one that holds the ISO date `last`, oldest first."""
    from pipelines.as_known import published

    frame = lake.read(raw.table, version=raw.version)
    hashes = pd.util.hash_pandas_object(frame[sorted(frame.columns)], index=False).to_numpy()
    known_at = pd.DatetimeIndex(frame["known_at"])
    days = pd.DatetimeIndex(frame["time"].dt.normalize().unique()).sort_values()
    months, anchor = MONTHS[every], pd.Timestamp(time_folds(definition).first_test)
    start = pd.Timestamp(anchor.year, (anchor.month - 1) // months * months + 1, 1)
    key, found = digest_json({"walk": every, **_fixed(definition)}), []
    while start <= pd.Timestamp(last):
        after = start + pd.DateOffset(months=months)
        before = days[days < start]
        as_of = published(definition, before[-1:])[0] if len(before) else None
        known = known_at <= as_of if as_of is not None else np.zeros(0, dtype=bool)
        rows = [int(known.sum()), int(hashes[known].sum(dtype=np.uint64))] if as_of is not None else []
        key = digest_json([key, f"{start:%Y-%m-%d}", rows])
        end = after - pd.Timedelta(days=1)
        found.append(Period(f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}", None if as_of is None else as_of.isoformat(), key))
        start = after
    return found


def unasked(definition: Definition) -> Definition:
    """The definition without a person's approval: nobody can be asked about the past."""
    gate = definition.gate.model_copy(update={"approval": "none", "four_eyes": False})
    return definition.model_copy(update={"gate": gate})


def _fixed(definition: Definition) -> dict[str, Any]:
    """What every decision of a walk depends on beside the data: the definition's meaning, the code, the libraries."""
    from pipelines.fit_keys import code_digest, library_versions
    from pipelines.training import decision_code_digest, meaning

    here = Path(__file__).parent
    walk = ("walk_forward", "walk_periods", "walk_record")
    names = (*walk, "windows", "features", "panel", "calendars", "knowledge", "contract", "contract_rules")
    files = [here / f"{name}.py" for name in names] + sorted((here.parent / "expectations").rglob("*.py"))
    return {
        "definition": meaning(unasked(definition)),
        "models": {recipe.model: code_digest(recipe.model) for recipe in definition.recipes.values()},
        "decisions": decision_code_digest(),
        "files": {path.relative_to(here.parent).as_posix(): digest_file(path) for path in files},
        "libraries": library_versions(),
    }
