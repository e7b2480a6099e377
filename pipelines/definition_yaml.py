"""The YAML of a definition: a page or two of plain values, without tags, aliases or a key given twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import DefinitionError

MAXIMUM_BYTES = 1_000_000


#: in C where PyYAML has it: a definition of ten thousand columns is read in seconds then, not in half a minute
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_SafeLoader):  # type: ignore[misc]
    """YAML without a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (dict, list)):
                raise DefinitionError(f"line {key_node.start_mark.line + 1}: a key must be text.")
            if key in seen:
                raise DefinitionError(f"line {key_node.start_mark.line + 1}: key {key!r} is given twice.")
            seen.add(key)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _refuse_aliases(text: str) -> None:
    """Before anything is made of the text: aliases can blow up."""
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark is not None else "?"
            raise DefinitionError(f"line {line}: aliases (*name) are not allowed in a definition; write the value out.")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        DefinitionError: not readable, not YAML, too large, with tags or aliases, or not a mapping.
    """
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise DefinitionError(f"{path}: larger than {MAXIMUM_BYTES:,} bytes; a definition is a page or two.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DefinitionError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DefinitionError(f"{str(path)!a}: cannot be read as UTF-8 text ({error}).") from None
    try:
        _refuse_aliases(text)
        values = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, made stricter
    except DefinitionError as error:
        raise DefinitionError(f"{path}: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DefinitionError(f"{path}: not plain YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise DefinitionError(f"{path}: expected a mapping with name, source, features, problem, folds, candidates, baselines, reference.")
    return values
