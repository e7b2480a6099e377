"""Which of a file's headers is which of finflow's columns."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.redaction import are_cells_hidden, cell

if TYPE_CHECKING:
    from finflow.pipelines.sources.mapping import TableSource

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


def match_columns(settings: TableSource, headers: Sequence[str], label: str) -> dict[str, int]:
    """finflow's name -> position of the header; of a wide file, an entity -> position of its column.

    Raises:
        SourceError: a column that is missing, given twice, without a header, or not named by the definition.
    """
    names = [header.strip() for header in headers]
    _check_headers(names, label)
    places = {name: place for place, name in enumerate(names)}
    chosen = {name: _mapped(name, header, places, label) for name, header in settings.mapped.items()}
    taken = set(chosen.values())
    for name, aliases in ALIASES.items():
        if name in chosen or _is_given(settings, name) or (settings.wide and name not in ("time", "known_at")):
            continue
        matching = [
            place
            for place, header in enumerate(names)
            if header.casefold() in aliases and place not in taken and header not in settings.ignore
        ]
        if len(matching) > 1:
            shown = " and ".join(cell(names[place]) for place in matching)
            raise SourceError(
                f"{label}: columns {shown} could both be `{name}`; say which under `columns`, and put the other under `ignore`."
            )
        if matching:
            chosen[name] = matching[0]
    if "time" not in chosen and settings.date is None:
        raise SourceError(
            f"{label}: no column is the time. There are {listed(names)}; map one: columns: {{time: ...}}. If the table has no time, say "
            "`date: 2020-01-01`, which dates every row."
        )
    if settings.wide:
        return _with_entities(settings, names, chosen, label)
    _check_extra(settings, names, set(chosen.values()), label)
    return chosen


def _is_given(settings: TableSource, name: str) -> bool:
    """Whether the settings say the entity or the time of every row, so that no column is looked for."""
    if name == "entity":
        return settings.entity is not None or settings.numbered is not None
    return name == "time" and settings.date is not None


def _with_entities(settings: TableSource, names: list[str], chosen: dict[str, int], label: str) -> dict[str, int]:
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


def _mapped(name: str, header: str, places: dict[str, int], label: str) -> int:
    if header.strip() in places:
        return places[header.strip()]
    near = difflib.get_close_matches(header, list(places), n=1)
    hint = f" Did you mean {near[0]!r}?" if near and not are_cells_hidden() else ""
    raise SourceError(f"{label}: no column {header!r} (the definition's `{name}`). There are {listed(list(places))}.{hint}")


def _check_headers(names: list[str], label: str) -> None:
    blank = [place + 1 for place, name in enumerate(names) if not name]
    if blank:
        raise SourceError(f"{label}: column {', '.join(map(str, blank))} has no header; name it in the file, or remove it.")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        places = [str(place + 1) for place, name in enumerate(names) if name == twice[0]]
        raise SourceError(f"{label}: the header {cell(twice[0])} stands over columns {', '.join(places)}; every header must be there once.")


def _check_extra(settings: TableSource, names: list[str], used: set[int], label: str) -> None:
    ignored = set(settings.ignore)
    if "*" in ignored:
        return
    extra = [name for place, name in enumerate(names) if place not in used and name not in ignored]
    if extra:
        raise SourceError(
            f"{label}: the definition does not name column {listed(extra)}. Map it under `columns`, or list it under `ignore` "
            '(ignore: ["*"] leaves out whatever is not named).'
        )


def listed(names: Sequence[str]) -> str:
    """Some names for a message, not a thousand; none where a file without a header may have persons in its first row."""
    if are_cells_hidden():
        return f"{len(names)} (not shown: there are personal columns)"
    shown = ", ".join(repr(name[:60]) for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown
