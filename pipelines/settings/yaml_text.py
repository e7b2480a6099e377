"""The YAML of a definition: plain values, a page or two of them as a rule, without tags, aliases or a key given twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from finflow.pipelines.core.errors import DefinitionError

#: ten thousand columns with names of 90 letters, each read, made a feature and kept as text, are some 4 MB
MAXIMUM_BYTES = 5_000_000
MAXIMUM_DEPTH = 50

#: in C where PyYAML has it: a definition of ten thousand columns is read in seconds then, not in half a minute
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_SafeLoader):  # type: ignore[misc]
    """YAML without a key given twice, that names the line of a value that cannot be."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # what looks like a date and is none: 2022-13-01
            if isinstance(error, DefinitionError):
                raise
            raise DefinitionError(f"line {node.start_mark.line + 1}: {node.value!a} cannot be read ({error}).") from None

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


def _refuse_bombs(text: str) -> None:
    """Before anything is made of the text: aliases can blow up, and a million open brackets take the reader hours."""
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else "?"
        if isinstance(event, yaml.AliasEvent):
            raise DefinitionError(f"line {line}: aliases (*name) are not allowed in a definition; write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAXIMUM_DEPTH:
            raise DefinitionError(f"not plain YAML: line {line} is nested more than {MAXIMUM_DEPTH} deep.")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        DefinitionError: not readable, not YAML, too large, too deep, with tags or aliases, or not a mapping.
    """
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8-sig") if size <= MAXIMUM_BYTES else ""
    except FileNotFoundError:
        raise DefinitionError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DefinitionError(f"{str(path)!a}: cannot be read as UTF-8 text ({error}).") from None
    _check_size(size, str(path))
    return parse_yaml(text, str(path))


def parse_yaml(text: str, origin: str) -> dict[str, Any]:
    """The mapping in the text of a YAML file.

    Args:
        origin: where it is from, for messages.

    Raises:
        DefinitionError: not YAML, too large, too deep, with tags or aliases, or not a mapping.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise DefinitionError(f"{origin}: cannot be written as UTF-8 text ({error.reason}).") from None
    _check_size(size, origin)
    try:
        _refuse_bombs(text)
        values = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, made stricter
    except DefinitionError as error:
        raise DefinitionError(f"{origin}: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DefinitionError(f"{origin}: not plain YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise DefinitionError(
            f"{origin}: expected a mapping with name, source, features, problem, folds, candidates, baselines, reference."
        )
    return values


def _check_size(size: int, origin: str) -> None:
    if size > MAXIMUM_BYTES:
        raise DefinitionError(
            f"{origin}: has {size:,} bytes, and a definition may have {MAXIMUM_BYTES:,}; ten thousand columns need fewer: leave some out."
        )


def commented(values: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """The YAML text of a mapping.

    Args:
        comments: by key, whole lines that come before it.
    """
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 140, "default_flow_style": None}
    text = "\n" + yaml.dump(dict(values), Dumper=dumper, **options)
    for key, comment in comments.items():  # only a key of the whole begins its line: further lines of a value are indented
        text = text.replace(f"\n{key}:", f"\n{comment}{key}:", 1)
    return text[1:]


def one_line(text: str) -> str:
    """A text of a person's file as a comment can hold it: what would end the line, or may not stand in YAML, is a blank."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
