"""Definitions that a home has met by their path: from then on their name alone finds them, as messages and alerts print it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from finflow.pipelines.core.errors import DefinitionError, FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.names import check_identifier
from finflow.pipelines.core.redaction import hide_in_logs
from finflow.pipelines.core.whole_files import write_whole
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.settings.yaml_text import parse_yaml, read_yaml

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

FILE = "definitions.json"
DEFINITIONS = Path(__file__).parent


def load_and_remember(name: str, home: Home) -> Definition:
    """The definition called `name` or in that file; one in a file is kept in mind by its name.

    Two files of one name: the one used last counts. A name that finflow ships keeps its meaning.

    Raises:
        DefinitionError: see `load_definition`.
    """
    from filelock import FileLock

    definition = load_definition(name)
    path = definition_path(name).resolve()
    known = known_definitions(home)
    if path.parent == DEFINITIONS.resolve() or known.get(definition.name) == str(path):
        return definition
    home.root.mkdir(parents=True, exist_ok=True)
    with FileLock(home.root / f"{FILE}.lock"):
        write_whole(home.root / FILE, json.dumps({**known_definitions(home), definition.name: str(path)}, indent=1))
    return definition


def keep_mapping(values: Mapping[str, Any], home: Home) -> Path:
    """Write a definition that is no file yet into `definitions/` of the home, in place of the one of its name that was kept there before.

    Args:
        values: what a YAML file of a definition holds; relative paths in its source and sink are relative to the working folder.

    Returns:
        The file, for whoever loads it by its path.

    Raises:
        DefinitionError: see `parse_definition`.
    """
    definition = _resolved(parse_definition(dict(values)), Path.cwd())
    path = home.root / "definitions" / f"{definition.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = definition.model_dump(mode="json", exclude_unset=True)
    write_whole(path, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
    return path


def known_definitions(home: Home) -> dict[str, str]:
    """By name, the path that was used last."""
    try:
        found = json.loads((home.root / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(path) for name, path in found.items()} if isinstance(found, dict) else {}


def known_path(name: str) -> Path | None:
    """The file of that name which this home has met, if it is still there."""
    path = known_definitions(Home.from_environment()).get(name)
    return Path(path) if path is not None and Path(path).is_file() else None


def definition_of(text: str, origin: str) -> Definition:
    """The definition in a text that is not a file yet, by the same checks as `load_definition`.

    Raises:
        DefinitionError: see `parse_yaml` and `parse_definition`.
    """
    return parse_definition(parse_yaml(text, origin), origin)


def definition_path(name: str) -> Path:
    """The file behind NAME: a shipped definition's name, a path to a YAML file, or the name of one that this home has met by its path.

    Raises:
        DefinitionError: neither.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if ("/" in name or "." in name) and Path(name).exists():
        kind = "folder" if Path(name).is_dir() else "file of another kind"
        raise DefinitionError(
            f"{name!a} is no definition but a {kind}: NAME is a definition's name or a path ending in .yaml. "
            "`finflow init FILE` drafts one from a CSV or Parquet file."
        )
    try:
        check_identifier(name, "definition name")
    except FinflowError as error:
        raise DefinitionError(f"{error} NAME is a definition's name or a path ending in .yaml.") from None
    path = DEFINITIONS / f"{name}.yaml"
    if not path.is_file():
        met = known_path(name)
        if met is not None:
            return met
        known = ", ".join(sorted(found.stem for found in DEFINITIONS.glob("*.yaml")))
        raise DefinitionError(f"no definition {name!r}: there are {known}; or give a path ending in .yaml.")
    return path


def load_definition(name: str) -> Definition:
    """The definition called `name`, or in the YAML file of that path. Relative paths in its source and sink are relative to the file.

    Raises:
        DefinitionError: see `read_yaml` and `parse_definition`.
    """
    hide_in_logs()  # its addresses may hold secrets, and a worker runs flows without our command line
    path = definition_path(name)
    definition = parse_definition(read_yaml(path), str(path))
    return _resolved(definition, path.resolve().parent)


def _resolved(definition: Definition, folder: Path) -> Definition:
    """With relative paths in source and sink made absolute."""
    sink = None if definition.sink is None else definition.sink.resolved(folder)
    return definition.model_copy(update={"source": definition.source.resolved(folder), "sink": sink})
