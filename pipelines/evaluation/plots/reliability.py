"""The plot of calibration of probabilities: of every candidate by itself, what came against what was said.

Rows are those of an evaluation's predictions/<candidate>.parquet (see `finflow.pipelines.evaluation.plots.outcome`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finflow.models.samples import Float64
from finflow.pipelines.core.svg import BLUE, GREY, svg_figure
from finflow.pipelines.evaluation.plots.outcome import logit, outcome_of
from finflow.pipelines.problems.calibration_scores import DECILES, equal_count_bins

if TYPE_CHECKING:
    import pandas as pd

#: where the highest tenth is split further, in which a rare class is decided
TOP = (0.95, 0.98, 0.99, 0.995, 0.999)
#: a bin with fewer rows says too little for a point
FEWEST = 10
TICKS = (1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97)


def plot_reliability(candidates: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Of every candidate by itself, the part that came against the mean probability in bins by deciles, the highest tenth in six, both on
    a scale of log odds, so that rare outcomes can be read; below each the count of rows by probability.

    On the diagonal is right. Bars are 95 % intervals (Wilson, 1927), as if rows were independent.
    """
    columns = min(len(candidates), 3)
    lines = math.ceil(len(candidates) / columns)
    bins = {name: _bins(*outcome_of(rows)[:2]) for name, rows in candidates.items()}
    values = np.concatenate([np.concatenate([one[0], one[1][one[1] > 0]]) for one in bins.values()])
    low, high = logit(max(values.min() / 1.5, 1e-5)), logit(min(max(values.max() * 1.2, 0.02), 0.995))
    ticks = [tick for tick in TICKS if low <= logit(tick) <= high]
    with svg_figure(path, 0.6 + 2.9 * columns, 0.6 + 4.0 * lines) as figure:
        grid = figure.add_gridspec(lines * 3, columns, height_ratios=[3, 1, 0.3] * lines, hspace=0.35, wspace=0.3)
        for place, (name, rows) in enumerate(candidates.items()):
            probability, _, _, label = outcome_of(rows)
            line, column = divmod(place, columns)
            axes = figure.add_subplot(grid[3 * line, column])
            _draw_bins(axes, bins[name], low, high)
            below = figure.add_subplot(grid[3 * line + 1, column])
            _draw_counts(below, probability, low, high)
            for each in (axes, below):
                each.set_xlim(low, high)
                each.set_xticks([logit(tick) for tick in ticks], [f"{tick:g}" for tick in ticks], fontsize=6, rotation=45)
                each.tick_params(axis="y", labelsize=6)
                each.grid(alpha=0.3)
            axes.set_yticks([logit(tick) for tick in ticks], [f"{tick:g}" for tick in ticks], fontsize=6)
            axes.set_title(f"{name}, {len(rows):,} rows", fontsize=8, loc="left")
            below.set_xlabel(f"probability of {label}", fontsize=7)
            if column == 0:
                axes.set_ylabel(f"part that was {label}", fontsize=7)
                below.set_ylabel("rows", fontsize=7)


def _draw_bins(axes: Any, bins: tuple[Float64, Float64, Float64], low: float, high: float) -> None:
    axes.plot([low, high], [low, high], color=GREY, linewidth=1)
    for stated, seen, count in zip(*bins, strict=True):
        at = logit(stated)
        axes.plot([at, at], [logit(bound) for bound in wilson(seen, count)], color=BLUE, linewidth=1)
        axes.plot([at], [logit(seen)], "o", color=BLUE, markersize=4)
    axes.set_ylim(low, high)


def _draw_counts(axes: Any, probability: Float64, low: float, high: float) -> None:
    axes.hist(np.clip(logit(probability), low, high), bins=np.linspace(low, high, 25), color=BLUE, alpha=0.6)
    axes.set_yscale("log")
    axes.minorticks_off()
    most = max(len(probability), 10)
    tens = [10**power for power in range(8) if 10**power <= most]
    shown = tens[:: max(1, len(tens) // 3)]
    axes.set_yticks(shown, [f"{ten:,}" for ten in shown])
    axes.set_ylim(0.7, most)


def wilson(part: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a binomial part (Wilson, 1927): it stays within 0 and 1, and holds for rare outcomes."""
    square = 1.959963984540054**2
    middle = part + square / (2 * count)
    reach = math.sqrt(square * (part * (1 - part) / count + square / (4 * count**2)))
    return (middle - reach) / (1 + square / count), (middle + reach) / (1 + square / count)


def _bins(probability: Float64, came: Float64) -> tuple[Float64, Float64, Float64]:
    """Of each bin with enough rows: mean probability, part that came, count."""
    place = equal_count_bins(probability, (*DECILES, *TOP))
    counts = np.bincount(place).astype(np.float64)
    enough = counts >= FEWEST
    mean: Callable[[Float64], Float64] = lambda values: np.bincount(place, values)[enough] / counts[enough]  # noqa: E731
    return mean(probability), mean(came), counts[enough]
