"""A mapping as indented lines: for pages that show facts and nothing else."""

from __future__ import annotations

from typing import Any


def indented_lines(values: dict[str, Any], indent: str = "") -> list[str]:
    """One line a value; mappings and lists of mappings indented below their key."""
    lines: list[str] = []
    for key, value in values.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *indented_lines(value, indent + "  ")]
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
            lines.append(f"{indent}{name}:")
            for item in value:
                lines.append(indent + "  - " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in item.items()))
        elif isinstance(value, (list, tuple)):
            lines.append(f"{indent}{name}: {', '.join(str(item) for item in value) or 'none'}")
        else:
            lines.append(f"{indent}{name}: {'none' if value is None else value}")
    return lines
