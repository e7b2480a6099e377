"""Reading a table of thousands of columns in groups of them: planning one query over all takes time by the square of their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from finflow.pipelines.core.errors import StateError

#: columns from which a table is wide: a plan over 500 takes 0.1 s, one over 10,000 took 13 s
GROUP = 500
KEYS = ("entity", "time", "known_at")


def read_in_groups(read: Callable[[list[str]], pd.DataFrame], names: Sequence[str], there: Sequence[str]) -> pd.DataFrame | None:
    """The columns `names`, read some at a time and put side by side by the rows' keys, by which they come sorted.

    A query's rows come in no order, so each group brings the keys along. None where they do not tell the rows apart (a batch that holds a
    row twice): then only one query over all columns has whole rows.

    Args:
        read: the columns asked for, of the same rows each time.
        there: all columns of the table.

    Raises:
        StateError: two reads of one version had other rows.
    """
    keys = [name for name in KEYS if name in there]
    if not keys:
        return None
    first = read(keys).sort_values(keys, ignore_index=True)
    if first.duplicated(keys).any():
        return None
    values = [name for name in names if name not in keys]
    parts = [first]
    for begin in range(0, len(values), GROUP):
        group = values[begin : begin + GROUP]
        part = read([*keys, *group]).sort_values(keys, ignore_index=True)
        if not part[keys].equals(first):
            raise StateError("two reads of one version of a table had other rows: the lake's files are changed by something else.")
        parts.append(part[group])
    return pd.concat(parts, axis=1)[list(names)]
