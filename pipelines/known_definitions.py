"""Definitions that a home has met by their path: from then on their name alone finds them, as messages and alerts print it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.definition import Definition
    from pipelines.home import Home

FILE = "definitions.json"


def load_and_remember(name: str, home: Home) -> Definition:
    """The definition called `name` or in that file; one in a file is kept in mind by its name.

    Two files of one name: the one used last counts. A name that finflow ships keeps its meaning.

    Raises:
        DefinitionError: see `load_definition`.
    """
    from filelock import FileLock

    from pipelines.definition import DEFINITIONS, definition_path, load_definition

    definition = load_definition(name)
    path = definition_path(name).resolve()
    known = known_definitions(home)
    if path.parent == DEFINITIONS.resolve() or known.get(definition.name) == str(path):
        return definition
    home.root.mkdir(parents=True, exist_ok=True)
    with FileLock(home.root / f"{FILE}.lock"):
        part = home.root / f"{FILE}.part"
        part.write_text(json.dumps({**known_definitions(home), definition.name: str(path)}, indent=1), encoding="utf-8")
        part.replace(home.root / FILE)
    return definition


def known_definitions(home: Home) -> dict[str, str]:
    """By name, the path that was used last."""
    try:
        found = json.loads((home.root / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(path) for name, path in found.items()} if isinstance(found, dict) else {}


def known_path(name: str) -> Path | None:
    """The file of that name which this home has met, if it is still there."""
    from pipelines.home import Home

    path = known_definitions(Home.from_environment()).get(name)
    return Path(path) if path is not None and Path(path).is_file() else None
