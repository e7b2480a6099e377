"""From the predictions table to a definition's sink. The lake comes first, and is the only truth about what is to be sent.

What is sent are rows as they lie in the lake, whole scorings at a time. So a run that was killed between the lake's commit and the sink,
done again, sends what the first would have sent, and a sink that has it takes nothing.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.predictions import Predictions


def deliver(context: Context, dates: Collection[str], versions: Collection[int]) -> int:
    """Send every row of these dates and versions to the definition's sink, if it has one. Restated rows stay in the lake.

    Args:
        dates: ISO dates that were predicted from.

    Returns:
        How many rows are new in the sink.

    Raises:
        SinkError: they cannot be written; the rows are in the lake, and the same command again sends them.
    """
    definition = context.definition
    if definition.sink is None or not dates or not versions:
        return 0
    rows = Predictions(context.lake, definition.name).read(min(dates), max(dates))
    days = pd.DatetimeIndex(sorted(dates))
    rows = rows[rows["time"].dt.normalize().isin(days) & rows["version"].isin(list(versions))]
    if rows.empty:
        return 0
    rows = rows.drop(columns=["period", "restated"]).sort_values(["time", "version", "entity", "horizon"], kind="stable")
    rows.insert(0, "definition", pd.array([definition.name] * len(rows), dtype="str"))
    return int(definition.sink.write(rows.reset_index(drop=True)))
