"""Plots of probabilities of classes: calibration, and the confusion matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finflow.pipelines.core.svg import BLUE, GREY, svg_figure
from finflow.pipelines.problems.class_scores import BINS, bins_of

if TYPE_CHECKING:
    import pandas as pd

    from finflow.pipelines.statistics.metric_parts import Float64

#: a bin with fewer rows says too little for a point
FEWEST = 10


def class_columns(rows: pd.DataFrame) -> dict[str, str]:
    """By class, the columns p_down, p_up ... of prediction rows, in their order."""
    return {name.removeprefix("p_"): name for name in map(str, rows.columns) if name.startswith("p_")}


def plot_calibration(rows: pd.DataFrame, name: str, path: Path) -> None:
    """The part that came of each class, against its mean probability, in ten bins: on the diagonal is right. Of two classes the second.

    Bars are 1.96 binomial errors, as if rows were independent; overlapping labels are not, and theirs are wider.

    Args:
        rows: an evaluation's predictions/<candidate>.parquet: p_..., actual (a class).
    """
    columns = class_columns(rows)
    shown = list(columns)[1:] if len(columns) == 2 else list(columns)
    with svg_figure(path, 3.6 * len(shown) + 0.6, 4.2) as figure:
        for place, label in enumerate(shown):
            probability = rows[columns[label]].to_numpy(dtype=np.float64)
            came = (rows["actual"] == label).to_numpy(dtype=np.float64)
            axes = figure.add_subplot(1, len(shown), place + 1)
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
            bins = bins_of(probability)
            for number in range(BINS):
                inside = bins == number
                if inside.sum() < FEWEST:
                    continue
                seen = came[inside].mean()
                error = 1.96 * np.sqrt(seen * (1 - seen) / inside.sum())
                stated = probability[inside].mean()
                axes.plot([stated, stated], [seen - error, seen + error], color=BLUE, linewidth=1)
                axes.plot([stated], [seen], "o", color=BLUE)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
            axes.set_xlabel(f"probability of {label}")
            if place == 0:
                axes.set_ylabel("part that came")
                axes.set_title(f"{name}: calibration on {len(rows):,} test rows", fontsize=9, loc="left")
            axes.grid(alpha=0.3)


def plot_confusion(rows: pd.DataFrame, name: str, path: Path) -> None:
    """Rows that came (down) by the class that was likeliest (across): counts, and parts of what came; the first of equals counts.

    Args:
        rows: as for `plot_calibration`.
    """
    labels = list(class_columns(rows))
    counts = confusion(rows)
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with svg_figure(path, 1.6 + 1.1 * len(labels), 1.4 + 0.9 * len(labels), left=1.0) as figure:
        axes = figure.add_subplot()
        for row in range(len(labels)):
            for column in range(len(labels)):
                axes.fill_between(
                    [column - 0.5, column + 0.5], row - 0.5, row + 0.5, color=BLUE, alpha=0.6 * parts[row, column], linewidth=0
                )
                text = f"{int(counts[row, column]):,}\n{parts[row, column]:.0%}"
                axes.text(column, row, text, ha="center", va="center")
        axes.set_xticks(range(len(labels)), labels)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("likeliest class")
        axes.set_ylabel("what came")
        axes.set_title(f"{name}: {len(rows):,} test rows", fontsize=9, loc="left")


def confusion(rows: pd.DataFrame) -> Float64:
    """float64, [classes, classes]: rows by what came (first axis) and by the likeliest class (the first of equals)."""
    columns = class_columns(rows)
    likeliest = rows[list(columns.values())].to_numpy(dtype=np.float64).argmax(axis=1)
    came = np.array([list(columns).index(label) for label in rows["actual"]], dtype=np.int64)
    size = len(columns)
    return np.bincount(came * size + likeliest, minlength=size * size).reshape(size, size).astype(np.float64)
