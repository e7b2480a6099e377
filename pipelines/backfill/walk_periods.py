"""The periods of a walk forward (see `finflow.pipelines.backfill.walk_forward`): months or quarters, each with the key of the decision at
its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from finflow.pipelines.core.code import code_digest, library_versions, walk_code_digest
from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.manifests import JsonRecord, RawManifest
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.lake.as_of import WITHDRAWN, is_withdrawn
from finflow.pipelines.samples.folds import time_folds
from finflow.pipelines.training.plan import meaning

MONTHS = {"monthly": 1, "quarterly": 3}


@dataclass(frozen=True)
class Period(JsonRecord):
    """A month or a quarter of the calendar: its first and last day, and the instant whose knowledge trains its model (None: no data)."""

    start: str
    end: str
    as_of: str | None
    key: str


def periods(context: Context, raw: RawManifest, every: str, last: str) -> list[Period]:
    """The periods of a walk up to the one that holds the ISO date `last`, oldest first."""
    frame = context.lake.read(raw.table, version=raw.version)
    withdrawn = is_withdrawn(frame).astype(np.uint64)
    frame = frame.drop(columns=[WITHDRAWN], errors="ignore")
    hashes = pd.util.hash_pandas_object(frame[sorted(frame.columns)], index=False).to_numpy() + withdrawn
    known_at = pd.DatetimeIndex(frame["known_at"])
    days = pd.DatetimeIndex(frame["time"].dt.normalize().unique()).sort_values()
    months, anchor = MONTHS[every], pd.Timestamp(time_folds(context.definition).first_test)
    start = pd.Timestamp(anchor.year, (anchor.month - 1) // months * months + 1, 1)
    key, found = digest_json({"walk": every, **_fixed(context)}), []
    while start <= pd.Timestamp(last):
        after = start + pd.DateOffset(months=months)
        before = days[days < start]
        as_of = published(context.definition, before[-1:])[0] if len(before) else None
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


def _fixed(context: Context) -> dict[str, Any]:
    """What every decision of a walk depends on beside the data: the definition's meaning, the code, the libraries."""
    definition = context.definition
    return {
        "definition": meaning(unasked(definition)),
        "models": {recipe.model: code_digest(recipe.model) for recipe in definition.recipes.values()},
        "code": walk_code_digest(type(context.problem)),
        "libraries": library_versions(),
    }
