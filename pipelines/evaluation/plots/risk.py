"""The plot of a backtest: losses, the value at risk that was forecast of each day, and the days that exceeded it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finflow.pipelines.core.svg import BLUE, GREY, RED, svg_figure

if TYPE_CHECKING:
    import pandas as pd


def risk_columns(rows: pd.DataFrame) -> list[str]:
    """The columns var_95, var_97_5, var_99 ... of prediction rows, in their order."""
    return [name for name in map(str, rows.columns) if name.startswith("var_")]


def plot_exceptions(rows: pd.DataFrame, name: str, path: Path) -> None:
    """Losses (grey), the value at risk at the highest confidence there is (blue), exceptions (red); one picture an entity, the first two.

    Args:
        rows: an evaluation's predictions/<candidate>.parquet: entity, target_time, actual (the loss), var_...
    """
    column = risk_columns(rows)[-1]
    confidence = column.removeprefix("var_").replace("_", ".")
    entities = list(dict.fromkeys(rows["entity"]))[:2]
    with svg_figure(path, 9.0, 0.6 + 2.6 * len(entities)) as figure:
        for place, entity in enumerate(entities):
            part = rows[rows["entity"] == entity].sort_values("target_time")
            dates = part["target_time"].to_numpy().astype("datetime64[s]")
            time, loss, limit = dates.astype(np.float64), part["actual"].to_numpy(), part[column].to_numpy()
            beyond = loss > limit
            axes = figure.add_subplot(len(entities), 1, place + 1)
            axes.plot(time, loss, color=GREY, linewidth=0.5, label="loss")
            axes.plot(time, limit, color=BLUE, linewidth=0.9, label=f"value at risk at {confidence} %")
            axes.plot(time[beyond], loss[beyond], "o", color=RED, markersize=3, label=f"{int(beyond.sum())} exceptions")
            axes.set_title(f"{name}, {entity}: {len(part):,} days, a loss is positive", fontsize=8, loc="left")
            ticks = np.unique(np.linspace(0, len(time) - 1, 7).round().astype(int))
            axes.set_xticks(time[ticks], np.datetime_as_string(dates[ticks], unit="D"))
            axes.tick_params(labelsize=6)
            axes.legend(fontsize=7, loc="upper left", ncols=3)
