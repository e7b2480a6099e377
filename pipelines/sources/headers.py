"""Which of a file's headers is which of finflow's columns."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.errors import SourceError

if TYPE_CHECKING:
    from pipelines.sources.files import FileSource

ALIASES = {
    "entity": ("entity",),
    "time": ("time", "date"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
    "known_at": ("known_at",),
}


def match_columns(settings: FileSource, headers: Sequence[str], label: str) -> dict[str, int]:
    """finflow's name -> position of the header; of a wide file, an entity -> position of its column.

    Raises:
        SourceError: a column that is missing, given twice, without a header, or not named by the definition.
    """
    names = [header.strip() for header in headers]
    _check_headers(names, label)
    chosen = {name: _mapped(name, header, names, label) for name, header in settings.columns.items()}
    taken = set(chosen.values())
    for name, aliases in ALIASES.items():
        if name in chosen or (name == "entity" and settings.entity is not None) or (settings.wide and name not in ("time", "known_at")):
            continue
        found = [
            place
            for place, header in enumerate(names)
            if header.casefold() in aliases and place not in taken and header not in settings.ignore
        ]
        if len(found) > 1:
            shown = " and ".join(repr(names[place]) for place in found)
            raise SourceError(
                f"{label}: columns {shown} could both be `{name}`; say which under `columns`, and put the other under `ignore`."
            )
        if found:
            chosen[name] = found[0]
    if "time" not in chosen:
        raise SourceError(f"{label}: no column is the time. There are {listed(names)}; map one: columns: {{time: ...}}.")
    if settings.wide:
        return _with_entities(settings, names, chosen, label)
    _check_extra(settings, names, set(chosen.values()), label)
    return chosen


def _with_entities(settings: FileSource, names: list[str], chosen: dict[str, int], label: str) -> dict[str, int]:
    """And the columns that `columns` does not name, each under its own header."""
    used, ignored = set(chosen.values()), set(settings.ignore)
    rest = {} if "*" in ignored else {name: place for place, name in enumerate(names) if place not in used and name not in ignored}
    twice = sorted(set(rest) & set(chosen))
    if twice:
        raise SourceError(
            f"{label}: column {listed(twice)} has the name that `columns` gives to another column; give one of them another name there."
        )
    if not rest.keys() | chosen.keys() - {"time", "known_at"}:
        raise SourceError(f"{label}: no column beside the time is left to be an entity; there are {listed(names)}.")
    return {**chosen, **rest}


def _mapped(name: str, header: str, names: list[str], label: str) -> int:
    if header.strip() in names:
        return names.index(header.strip())
    near = difflib.get_close_matches(header, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise SourceError(f"{label}: no column {header!r} (the definition's `{name}`). There are {listed(names)}.{hint}")


def _check_headers(names: list[str], label: str) -> None:
    blank = [place + 1 for place, name in enumerate(names) if not name]
    if blank:
        raise SourceError(f"{label}: column {', '.join(map(str, blank))} has no header; name it in the file, or remove it.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        places = [str(place + 1) for place, name in enumerate(names) if name == twice[0]]
        raise SourceError(f"{label}: the header {twice[0]!r} stands over columns {', '.join(places)}; every header must be there once.")


def _check_extra(settings: FileSource, names: list[str], used: set[int], label: str) -> None:
    if "*" in settings.ignore:
        return
    extra = [name for place, name in enumerate(names) if place not in used and name not in settings.ignore]
    if extra:
        raise SourceError(
            f"{label}: the definition does not name column {listed(extra)}. Map it under `columns`, or list it under `ignore` "
            '(ignore: ["*"] leaves out whatever is not named).'
        )


def listed(names: Sequence[str]) -> str:
    """Some names for a message, not a thousand."""
    shown = ", ".join(repr(name[:60]) for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown
