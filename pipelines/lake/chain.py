"""Rows that hold each other: each has its own content's digest and that of the row before, so that none can be changed, left out or added.

Rows are plain values here (see `JsonRecord.to_dict`), oldest first. A table that an earlier finflow began has rows without digests at its
beginning; they are "before the chain": the first row with digests follows on the digest of all of them together, and from then on they are
held as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finflow.pipelines.core.digest import digest_json

OWN, BEFORE = "digest", "previous_digest"
_CHAIN = {OWN, BEFORE}

Row = Mapping[str, Any]


def root_digest(name: str, rows: Sequence[Row]) -> str:
    """What the first row with digests follows on.

    Args:
        name: whose table it is: a row of one is none of another's.
        rows: those before the chain.
    """
    return digest_json({"chain": name, "rows": [{key: value for key, value in row.items() if key not in _CHAIN} for row in rows]})


def content_digest(row: Row) -> str:
    """Of everything in a row but this digest itself; the row before is in it by its digest."""
    return digest_json({key: value for key, value in row.items() if key != OWN})


def next_link(name: str, rows: Sequence[Row], row: Row) -> dict[str, str]:
    """The two digests of a row that is to follow `rows`."""
    previous = rows[-1][OWN] if rows and rows[-1][OWN] else root_digest(name, rows)
    return {BEFORE: previous, OWN: content_digest({**row, BEFORE: previous})}


def before_the_chain(rows: Sequence[Row]) -> int:
    """How many rows at the beginning have no digests."""
    return next((place for place, row in enumerate(rows) if row[OWN]), len(rows))


def chain_faults(name: str, rows: Sequence[Row]) -> dict[int, str]:
    """What is wrong, in words, by the place of the row (from 0); empty where the chain holds."""
    begin, found = before_the_chain(rows), {}
    previous = root_digest(name, rows[:begin])
    for place, row in enumerate(rows):
        said = f"decision {place + 1}"
        if row["sequence"] != place + 1:
            found[place] = f"{said} says that it is number {row['sequence']}: a decision is missing, or is there twice"
        elif place >= begin:
            if row[BEFORE] != previous:
                what = f"decision {place}" if place > begin else "what was recorded before it" if begin else "nothing, as the first of all"
                found[place] = f"{said} does not follow on {what}: one of the two was changed, put in or taken out"
            elif row[OWN] != content_digest(row):
                found[place] = f"{said} is not as it was recorded: its content no longer has the digest {row[OWN] or '(none)'}"
            previous = row[OWN]
    return found
