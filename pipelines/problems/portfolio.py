"""The bars of a portfolio, made of its members' bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from finflow.models.samples import Float64
from finflow.pipelines.core.errors import DefinitionError

START = 100.0
_EXTREMES = {"high": "low", "low": "high"}


def portfolio_bars(clean: pd.DataFrame, weights: Mapping[str, float], name: str) -> pd.DataFrame:
    """One entity of several: the value of a portfolio that is brought back to its weights at every close.

    It has a row on every date on which all members have one, `close` (which begins at 100) and, where the members have them, `open`, `high`
    and `low`. Its return is the weighted mean of the members' plain returns since the date before; what the weights lack to 1 is cash
    without interest. `high` and `low` are what the members' extremes would make if they came at once, a sold member's low with a bought
    one's high: the widest that the true ones can be.

    Args:
        clean: bars of the members, and of others.
        weights: by entity, parts of the value; negative for what was sold.
        name: of the entity that comes out.

    Raises:
        DefinitionError: a member has no rows.
    """
    prices = [column for column in ("open", "high", "low", "close") if column in clean.columns]
    parts = {member: clean.loc[clean["entity"] == member].set_index("time")[prices] for member in weights}
    absent = [member for member, part in parts.items() if part.empty]
    if absent and len(clean):
        there = ", ".join(sorted(set(clean["entity"])))
        raise DefinitionError(f"problem.weights names {', '.join(absent)}, of which there are no rows: there are {there}.")
    common = None
    for part in parts.values():
        common = part.index if common is None else common.intersection(part.index)
    assert common is not None
    time = common.sort_values()
    members = [(part.loc[time], weights[member]) for member, part in parts.items()]
    with np.errstate(all="ignore"):
        close = START * np.cumprod(1.0 + _return(members, "close"))
        before = np.concatenate([[START] if len(time) else [], close[:-1]])
        values = {column: close if column == "close" else before * (1.0 + _return(members, column)) for column in prices}
    return pd.DataFrame({"entity": pd.array([name] * len(time), dtype="str"), "time": time, **values})


def _return(members: Sequence[tuple[pd.DataFrame, float]], column: str) -> Float64:
    """float64, [dates]: the portfolio's return from the close before to a date's `column`; at the first date against its own close.

    Args:
        members: each one's bars on the same dates, and its weight.
    """
    total = np.zeros(len(members[0][0]))
    for bars, weight in members:
        close = bars["close"].to_numpy(dtype=np.float64)
        source = _EXTREMES.get(column, column) if weight < 0 else column
        before = np.concatenate([close[:1], close[:-1]])
        with np.errstate(all="ignore"):  # a price of 0 has no return; no window holds one
            total += weight * (bars[source].to_numpy(dtype=np.float64) / np.where(before > 0, before, np.nan) - 1.0)
    return total
