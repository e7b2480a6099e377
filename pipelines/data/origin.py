"""A name belongs to one source: which one filled a raw table, and whether the one that is read now is the same."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.redaction import redacted
from finflow.pipelines.data.fingerprints import FACTOR, row_keys, row_prints, standing_places, without_noise
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.loading import known_definitions
from finflow.pipelines.lake.as_of import KEY
from finflow.pipelines.lake.lake import Lake

#: of the rows that the table holds, as far back as a source reaches, the share that it must give unchanged to be the same one elsewhere
AGREEING = 0.9
SHOWN = 300
#: settings that say how cells are read, and not which source it is
READING = frozenset(
    {
        *("text", "ignore", "encoding", "delimiter", "quote", "decimal", "thousands", "skip_rows", "missing", "timezone", "date_format"),
        *("timeout_seconds", "maximum_rows", "maximum_columns", "maximum_cells", "maximum_cells_per_byte"),
    }
)


@dataclass(frozen=True)
class Origin:
    """Where the rows of a raw table come from; without a secret.

    Attributes:
        settings: the source's settings that differ from their defaults and say which source it is, as JSON; local paths are absolute.
        beside: the same with local paths relative to the lake, so that folders that are moved or copied together stay the same source;
            empty for a lake that is no local folder.
        place: what a person calls it: a path, a URL, or the kind and its settings.
        file: of the definition, as far as the home has met it.
    """

    settings: str
    beside: str
    place: str
    file: str


def origin_of(context: Context) -> Origin:
    """The origin that the definition names now."""
    source = context.definition.source
    plain = {"kind": source.kind, **source.model_dump(mode="json", exclude_defaults=True, exclude=READING)}
    local = "://" not in context.lake.location
    beside = json.dumps(_with_paths(plain, context.lake.location), sort_keys=True) if local else ""
    file = known_definitions(context.home).get(context.name, "")
    return Origin(json.dumps(_with_paths(plain, None), sort_keys=True), beside, _place(source, plain), file)


def recorded_origin(lake: Lake, name: str) -> Origin | None:
    """The origin recorded last; None where there is none, as of tables that were begun before origins were recorded."""
    if not lake.exists(f"sources/{name}"):
        return None
    row = lake.read(f"sources/{name}").sort_values("recorded_at", kind="stable").iloc[-1]
    return Origin(*(str(row[field]) for field in ("settings", "beside", "place", "file")))


def record_origin(lake: Lake, name: str, origin: Origin) -> None:
    """Append it; the last one counts."""
    recorded_at = pd.Timestamp(datetime.datetime.now(datetime.UTC)).as_unit("us")
    lake.append(f"sources/{name}", pd.DataFrame([{**vars(origin), "recorded_at": recorded_at}]))


def is_same(before: Origin, now: Origin, moved_from: str | None) -> bool:
    """Whether the settings alone say so: they are equal, or equal as seen from the lake, or the definition names the place of before."""
    if before.settings == now.settings or (now.beside and before.beside == now.beside):
        return True
    return moved_from is not None and redacted(moved_from) == before.place


def other_source(name: str, before: Origin, now: Origin, agreeing: int, held: int) -> StateError:
    """The refusal, with both places."""
    first = f"{before.place}" + (f" (definition {before.file})" if before.file else "")
    second = f"{now.place}" + (f" (definition {now.file})" if now.file and now.file != before.file else "")
    return StateError(
        f"{name}: the table raw/{name} was filled from {first}, and now {second} is read, which gives {agreeing:,} of the {held:,} rows "
        "there unchanged: another source, or its columns mapped otherwise. A name belongs to one source, and nothing was written: give "
        "this definition another `name`. If it is the same source, moved and changed, say so in the definition: moved_from: "
        f"{json.dumps(before.place, ensure_ascii=False)}"
    )


def agreeing_rows(batch: pd.DataFrame, stored: pd.DataFrame, tolerance: Mapping[str, float]) -> int:
    """How many rows that stand in the table the batch gives with the same values in the columns that both have."""
    values = [name for name in batch.columns if name not in (*KEY, "known_at") and name in stored]
    if not values:
        return 0
    there, keys = row_prints(stored, values), row_keys(stored)
    prints = without_noise(batch, row_prints(batch, values), stored, there, values, tolerance)
    return int(pd.Index((keys * FACTOR + there)[standing_places(keys, stored)]).isin(row_keys(batch) * FACTOR + prints).sum())


def _place(source: Any, plain: dict[str, Any]) -> str:
    inner = getattr(source, "source", None)
    path = getattr(source, "path", None) or getattr(inner, "path", None)
    if path is not None:
        return redacted(str(path))
    return f"the {source.kind} source {json.dumps(plain, sort_keys=True)[:SHOWN]}"


def _with_paths(value: Any, base: str | None) -> Any:
    """The same JSON with local absolute paths in their plainest form, or relative to `base`."""
    if isinstance(value, dict):
        return {key: _with_paths(part, base) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_paths(part, base) for part in value]
    if isinstance(value, str) and os.path.isabs(value):
        return os.path.normpath(value) if base is None else os.path.relpath(value, base)
    return value
