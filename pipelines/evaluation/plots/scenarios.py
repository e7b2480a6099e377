"""Plots of scenarios: drawn paths against what came, and the stylised facts of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finflow.pipelines.core.svg import BLUE, GREY, RED, svg_figure

if TYPE_CHECKING:
    import pandas as pd

#: paths that are drawn into the plot
SHOWN = 40
#: paths a date that the stylised facts are measured on: all of them would be gigabytes, and show the same
POOLED = 50
_LAGS = 50


def scenario_columns(rows: pd.DataFrame) -> list[str]:
    """The columns path_001, path_002 ... of prediction rows, in their order."""
    return [name for name in map(str, rows.columns) if name.startswith("path_")]


def plot_paths(rows: pd.DataFrame, samples: pd.DataFrame, name: str, path: Path) -> None:
    """Some of the paths (grey), their central 90 % (blue) and what came (red), as changes in per cent: a column a date (the first test
    date, the middle one and the last), a row an entity, the first two.

    Args:
        rows: an evaluation's predictions/<candidate>.parquet: entity, time, horizon, path_...
        samples: its samples.parquet: entity, time, origin, target_1 ...
    """
    columns = scenario_columns(rows)
    entities, dates = list(dict.fromkeys(rows["entity"]))[:2], np.sort(rows["time"].unique())
    chosen = dates[[0, len(dates) // 2, len(dates) - 1]]
    by_sample = samples.set_index(["entity", "time"])
    with svg_figure(path, 10.0, 0.6 + 2.6 * len(entities)) as figure:
        for place, (entity, date) in enumerate((entity, date) for entity in entities for date in chosen):
            part = rows[(rows["entity"] == entity) & (rows["time"] == date)].sort_values("horizon")
            if part.empty:
                continue
            came = by_sample.loc[(entity, date)]
            origin = float(came["origin"])
            actual = 100 * np.expm1(came[[f"target_{step}" for step in part["horizon"]]].to_numpy(dtype=np.float64))
            drawn = 100 * (part[columns].to_numpy(dtype=np.float64) / origin - 1.0)
            steps = part["horizon"].to_numpy()
            axes = figure.add_subplot(len(entities), len(chosen), place + 1)
            axes.plot(steps, drawn[:, :: max(1, len(columns) // SHOWN)][:, :SHOWN], color=GREY, linewidth=0.3)
            axes.fill_between(steps, *np.quantile(drawn, (0.05, 0.95), axis=1), color=BLUE, alpha=0.25, linewidth=0, label="90 % of paths")
            axes.plot(steps, actual, color=RED, linewidth=1.2, label="what came")
            axes.set_title(f"{name}, {entity}, as of {np.datetime_as_string(date.astype('datetime64[D]'))}, %", fontsize=8, loc="left")
            axes.tick_params(labelsize=6)
            axes.legend(fontsize=6, loc="upper left")


def plot_facts(rows: pd.DataFrame, samples: pd.DataFrame, name: str, path: Path) -> None:
    """Held-out (red) against drawn (blue): autocorrelation of |r|, correlation of r with later |r|, and quantiles of r on both sides.

    Args:
        rows, samples: as for `plot_paths`; everything is pooled over entities and dates. Of each date's paths POOLED count.
    """
    ordered = rows.sort_values(["entity", "time", "horizon"])
    outputs = int(ordered["horizon"].max())
    columns = scenario_columns(rows)
    columns = columns[:: max(1, len(columns) // POOLED)][:POOLED]
    values = np.log(ordered[columns].to_numpy(dtype=np.float64)).reshape(-1, outputs, len(columns))
    drawn = np.diff(values, axis=1).transpose(0, 2, 1)
    targets = samples[[f"target_{step}" for step in range(1, outputs + 1)]].to_numpy(dtype=np.float64)
    real = np.diff(targets, axis=1)[:, None, :]
    lags = np.arange(1, min(_LAGS, outputs - 2) + 1)
    with svg_figure(path, 10.0, 3.0) as figure:
        pairs = {"autocorrelation of |r|": (np.abs(real), np.abs(drawn)), "correlation of r with later |r|": (real, drawn)}
        for place, (title, (held, mine)) in enumerate(pairs.items()):
            axes = figure.add_subplot(1, 3, place + 1)
            axes.plot(lags, [_correlation(held, np.abs(real), int(lag)) for lag in lags], color=RED, label="held out")
            axes.plot(lags, [_correlation(mine, np.abs(drawn), int(lag)) for lag in lags], color=BLUE, label="drawn")
            axes.axhline(0.0, color=GREY, linewidth=0.5)
            axes.set_title(f"{name}: {title}", fontsize=8, loc="left")
            axes.set_xlabel("lag", fontsize=7)
            axes.tick_params(labelsize=6)
            axes.legend(fontsize=7)
        levels = np.concatenate([[0.001, 0.0025, 0.005], np.linspace(0.01, 0.99, 99), [0.995, 0.9975, 0.999]])
        axes = figure.add_subplot(1, 3, 3)
        across, up = 100 * np.quantile(real, levels), 100 * np.quantile(drawn, levels)
        axes.plot(across, up, ".", color=BLUE, markersize=3)
        axes.plot(across[[0, -1]], across[[0, -1]], color=GREY, linewidth=0.8)
        axes.set_title("quantiles of r, %: held out (across), drawn (up)", fontsize=8, loc="left")
        axes.tick_params(labelsize=6)


def _correlation(first: np.ndarray, second: np.ndarray, lag: int) -> float:
    """Of the first with the second `lag` steps later, along the last axis, pooled around pooled means."""
    one, other = first - first.mean(), second - second.mean()
    scale = np.sqrt((one**2).mean() * (other**2).mean())
    return float((one[..., :-lag] * other[..., lag:]).mean() / scale) if scale > 0 else 0.0
