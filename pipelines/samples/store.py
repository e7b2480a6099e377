"""Samples on disk: a folder of plain .npy arrays that appears by one rename, and opens as a memory-mapped view."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.revised import Revised
from finflow.models.samples import ARRAYS, Observations, SampleIndex, Samples
from finflow.pipelines.core.arrays import load_array
from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.whole_files import whole_folder

SCHEMA = 2
_FACTS = "samples.json"
_REVISED = ("known", "row", "until", "absent")


def write_samples(samples: Samples, folder: Path, facts: dict[str, Any]) -> None:
    """Write samples and facts about them, so that `folder` is there whole or not at all. If another process is first, its folder stays."""
    with whole_folder(folder, is_whole=is_complete) as partial:
        _write(samples, partial, facts)


def _write(samples: Samples, partial: Path, facts: dict[str, Any]) -> None:
    observations, index = samples.observations, samples.index
    np.save(partial / "values.npy", np.ascontiguousarray(observations.values))
    np.save(partial / "first.npy", observations.first)
    np.save(partial / "time.npy", observations.time)
    for name, block in observations.blocks.items():
        np.save(partial / f"block-{name}.npy", block, allow_pickle=False)
    if observations.revised is not None:
        for name in _REVISED:
            np.save(partial / f"revised-{name}.npy", getattr(observations.revised, name))
    for name in ARRAYS:
        np.save(partial / f"index-{name}.npy", getattr(index, name))
    for name, texts in index.groups.items():
        np.save(partial / f"group-{name}.npy", texts, allow_pickle=False)
    content = {
        "schema": SCHEMA,
        "columns": list(observations.columns),
        "entities": list(observations.entities),
        "length": samples.length,
        "blocks": sorted(observations.blocks),
        "revised": observations.revised is not None,
        "groups": sorted(index.groups),
        "facts": facts,
    }
    (partial / _FACTS).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def is_complete(folder: Path) -> bool:
    return (folder / _FACTS).is_file()


def read_facts(folder: Path) -> dict[str, Any]:
    """What was written beside the samples.

    Raises:
        StateError: no samples there, or of another schema version.
    """
    return dict(_content(folder)["facts"])


def open_samples(folder: str | Path) -> Samples:
    """The samples in a folder, memory-mapped, read-only.

    Raises:
        StateError: no samples there, damaged, or of another schema version.
    """
    folder = Path(folder)
    content = _content(folder)
    try:
        observations = Observations(
            values=_mapped(folder / "values.npy"),
            columns=tuple(content["columns"]),
            entities=tuple(content["entities"]),
            first=load_array(folder / "first.npy"),
            time=_mapped(folder / "time.npy"),
            blocks={name: _mapped(folder / f"block-{name}.npy") for name in content["blocks"]},
            revised=_revised(folder) if content["revised"] else None,
        )
        arrays = {name: _mapped(folder / f"index-{name}.npy") for name in ARRAYS}
        index = SampleIndex(**arrays, groups={name: _mapped(folder / f"group-{name}.npy") for name in content.get("groups", ())})
    except (OSError, ValueError, EOFError) as error:
        raise StateError(f"{folder}: the samples are damaged ({error}): delete this folder and run the command again.") from None
    return Samples(observations=observations, index=index, length=int(content["length"]))


def _revised(folder: Path) -> Revised:
    return Revised(**{name: load_array(folder / f"revised-{name}.npy") for name in _REVISED})


def _mapped(path: Path) -> NDArray[Any]:
    """An array on disk whose pages are read as they are used, and shared by all processes that do."""
    try:
        return load_array(path, "r")
    except ValueError:
        found = load_array(path)
        if found.size:
            raise
        return found  # nothing cannot be mapped


def _content(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(f"{folder}: holds no samples ({error}): run the command that made them again.") from None
    if content.get("schema") != SCHEMA:
        raise StateError(
            f"{folder}: samples of schema {content.get('schema')}, expected {SCHEMA}: delete this folder and run the command again."
        )
    return content
