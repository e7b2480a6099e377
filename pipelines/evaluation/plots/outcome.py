"""Plots of outcomes: ranking, gains and costs of all candidates beside each other; fairness and stability.

Rows are those of an evaluation's predictions/<candidate>.parquet: p_<first>, p_<last>, threshold, actual. A candidate has the same
colour in every plot; baselines are dashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import Float64
from finflow.pipelines.core.svg import BLUE, GREY, RED, svg_figure
from finflow.pipelines.evaluation.plots.classes import class_columns

if TYPE_CHECKING:
    import pandas as pd

#: told apart by readers who cannot tell red from green (Okabe and Ito, 2008), then again
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: points of a curve, at most
POINTS = 300
#: a base rate below which precision is drawn on a logarithmic scale
RARE = 0.05


def outcome_of(rows: pd.DataFrame) -> tuple[Float64, Float64, Float64, str]:
    """The probability of the last class, 1 where it came, the threshold of the costs (float64, [n] each), and its name."""
    label, column = list(class_columns(rows).items())[-1]
    came = np.asarray(rows["actual"] == label, dtype=np.float64)
    probability, threshold = (np.asarray(rows[name], dtype=np.float64) for name in (column, "threshold"))
    return probability, came, threshold, label


def logit(value: Any) -> Any:
    """The log odds of probabilities, of which none is nearer to 0 or 1 than a millionth."""
    kept = np.clip(value, 1e-6, 1 - 1e-6)
    return np.log(kept / (1 - kept))


def plot_ranking(candidates: Mapping[str, pd.DataFrame], baselines: frozenset[str], path: Path) -> None:
    """ROC curves on the left, precision against recall on the right."""
    with svg_figure(path, 9.0, 4.4) as figure:
        left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
        left.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        rate, label = 0.0, ""
        for name, rows, style in _styled(candidates, baselines):
            probability, came, _, label = outcome_of(rows)
            rate = float(came.mean())
            caught, taken = _taken(probability, came)
            wrong = taken - caught
            if not caught[-1] or not wrong[-1]:
                continue
            at = _thin(len(caught))
            left.plot((wrong / wrong[-1])[at], (caught / caught[-1])[at], label=name, **style)
            kept = at[taken[at] > 0]
            right.plot((caught / caught[-1])[kept], (caught[kept] / taken[kept]), label=name, **style)
        right.axhline(rate, color=GREY, linewidth=1)
        left.set_xlabel(f"flagged of those that were not {label}")
        left.set_ylabel(f"flagged of those that were {label}")
        left.set_title("ROC", fontsize=9, loc="left")
        right.set_xlabel(f"found of all that were {label} (recall)")
        right.set_ylabel("right of those flagged (precision)")
        right.set_title("precision and recall (grey: the base rate)", fontsize=9, loc="left")
        if 0 < rate < RARE:
            right.set_yscale("log")
            right.minorticks_off()
            ticks = [tick for tick in (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1) if tick >= rate / 3]
            right.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            right.set_ylim(rate / 3, 1.2)
        else:
            right.set_ylim(bottom=0)
        for axes in (left, right):
            axes.grid(alpha=0.3)
        left.legend(fontsize=6, loc="lower right")


def plot_gains(candidates: Mapping[str, pd.DataFrame], baselines: frozenset[str], path: Path) -> None:
    """The part of the last class that is found among the highest probabilities, against the part of rows that is looked at."""
    with svg_figure(path, 5.6, 4.4) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        rate, label = 0.0, ""
        for name, rows, style in _styled(candidates, baselines):
            probability, came, _, label = outcome_of(rows)
            rate = float(came.mean())
            caught, taken = _taken(probability, came)
            if caught[-1]:
                at = _thin(len(caught))
                axes.plot((taken / taken[-1])[at], (caught / caught[-1])[at], label=name, **style)
        axes.plot([0, rate, 1], [0, 1, 1], color=GREY, linewidth=1, linestyle=":")
        axes.set_xlabel("part of rows looked at, highest probability first")
        axes.set_ylabel(f"found of all that were {label}")
        axes.set_title("gains (dotted: nothing can do better)", fontsize=9, loc="left")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6, loc="lower right")


def plot_costs(candidates: Mapping[str, pd.DataFrame], baselines: frozenset[str], path: Path) -> None:
    """The cost of deciding, as a part of what the cheaper of accepting and refusing all costs: below 1 there is a gain.

    A false positive costs c, a false negative 1 - c, and the threshold is c (cost curves: Drummond and Holte, 2006; such thresholds:
    Hernandez-Orallo, Flach and Ferri, 2011). The definition's own c is marked: with a stake, the middle half of its rows'.
    """
    with svg_figure(path, 6.4, 4.4) as figure:
        axes = figure.add_subplot()
        axes.axhline(1, color=GREY, linewidth=1)
        for name, rows, style in _styled(candidates, baselines):
            probability, came, threshold, _ = outcome_of(rows)
            rate = float(np.clip(came.mean(), 1e-5, 1 - 1e-5))
            low, middle, high = (logit(value) for value in np.quantile(threshold, [0.25, 0.5, 0.75]))
            odds = np.linspace(min(low, logit(rate)) - 3, max(high, logit(rate)) + 3, 199)
            levels = 1 / (1 + np.exp(-odds))
            missed = np.searchsorted(np.sort(probability[came == 1]), levels, "left") / len(rows)
            wrong = ((came == 0).sum() - np.searchsorted(np.sort(probability[came == 0]), levels, "left")) / len(rows)
            cheaper = np.minimum((1 - levels) * rate, levels * (1 - rate))
            axes.plot(odds, (levels * wrong + (1 - levels) * missed) / cheaper, label=name, **style)
        axes.axvspan(low, high, color=RED, alpha=0.12, linewidth=0)
        axes.axvline(middle, color=RED, linewidth=1)
        axes.axvline(logit(rate), color=GREY, linestyle=":", linewidth=1)
        ticks = [tick for tick in (1e-4, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99) if odds[0] <= logit(tick) <= odds[-1]]
        axes.set_xticks([logit(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
        axes.set_ylim(0, 1.5)
        axes.set_xlabel("c: a false positive's part of the costs, and the threshold (red: the definition's; dotted: the base rate)")
        axes.set_ylabel("cost, of the cheaper of accept all and refuse all")
        axes.set_title("costs at every ratio of costs", fontsize=9, loc="left")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6, loc="lower left")


def plot_fairness(table: pd.DataFrame, candidate: str, path: Path) -> None:
    """One candidate's rates by group with their 95 % intervals, a row of plots a protected column; hollow: of fewer than 30 entities.

    Args:
        table: an evaluation's tables/fairness.parquet.
    """
    figures = ("selection_rate", "true_positive_rate", "false_positive_rate", "auc", "calibration")
    mine = table[table["candidate"] == candidate]
    columns = list(dict.fromkeys(mine["column"]))
    groups = {column: list(dict.fromkeys(mine.loc[mine["column"] == column, "group"]))[:20] for column in columns}
    heights = [0.6 + 0.22 * len(groups[column]) for column in columns]
    left = 0.6 + 0.07 * max((len(group) for names in groups.values() for group in names), default=0)
    with svg_figure(path, left + 2.1 * len(figures), 0.9 + sum(heights), left=left) as figure:
        grid = figure.add_gridspec(len(columns), len(figures), height_ratios=heights, hspace=0.6, wspace=0.15)
        for line, column in enumerate(columns):
            for place, name in enumerate(figures):
                axes = figure.add_subplot(grid[line, place])
                part = mine[(mine["column"] == column) & (mine["figure"] == name)].set_index("group")
                for at, group in enumerate(reversed(groups[column])):
                    one = part.loc[group]
                    if not np.isnan(one["low"]):
                        axes.plot([one["low"], one["high"]], [at, at], color=BLUE, linewidth=1.5)
                    axes.plot([one["value"]], [at], "o", color=BLUE, markersize=4, markerfacecolor="white" if one["small"] else BLUE)
                axes.set_yticks(range(len(groups[column])), list(reversed(groups[column])) if place == 0 else [""] * len(groups[column]))
                axes.set_ylim(-0.6, len(groups[column]) - 0.4)
                axes.tick_params(labelsize=6)
                axes.grid(alpha=0.3)
                axes.set_title(f"{column}: {name}" if place == 0 else name, fontsize=7, loc="left")


def plot_stability(table: pd.DataFrame, path: Path) -> None:
    """PSI by period: features (of each period against its own training part) on the left, scores (against the first period) on the right.

    The least stable are coloured, the others grey.

    Args:
        table: an evaluation's tables/stability.parquet.
    """
    periods = list(dict.fromkeys(table["period"]))
    with svg_figure(path, 9.0, 3.8) as figure:
        for place, (title, kinds) in enumerate((("features", ("feature", "category")), ("scores", ("score",)))):
            axes = figure.add_subplot(1, 2, place + 1)
            part = table[table["kind"].isin(kinds)]
            wide = part.pivot_table(index="name", columns="period", values="psi", sort=False).reindex(columns=periods)
            order = list(wide.max(axis=1).sort_values(ascending=False, kind="stable").index)
            for number, name in reversed(list(enumerate(order[:60]))):
                shown = number < len(COLOURS)
                colour = COLOURS[number] if shown else GREY
                axes.plot(range(len(periods)), wide.loc[name], "o-", color=colour, linewidth=1, markersize=3, label=name if shown else None)
            axes.axhline(0.25, color=RED, linewidth=1, linestyle=":")
            every = max(1, len(periods) // 6)
            axes.set_xticks(range(0, len(periods), every), [str(period) for period in periods[::every]], fontsize=6)
            axes.set_xlim(-0.3, len(periods) - 0.7)
            axes.set_ylim(0, 1.5 * max(0.25, float(part["psi"].max()) if len(part) else 0.0))  # with room for the legend
            axes.set_title(f"PSI of {title} by test period (dotted: 0.25)", fontsize=9, loc="left")
            axes.grid(alpha=0.3)
            if order:
                axes.legend(*_reversed(axes), fontsize=6, loc="upper left", ncols=3)


def plot_decisions(rows: pd.DataFrame, name: str, path: Path) -> None:
    """Rows by what came (down) and by what the threshold of the costs says (across): counts, and parts of what came."""
    probability, came, threshold, label = outcome_of(rows)
    other = next(iter(class_columns(rows)))
    flagged = probability >= threshold
    with svg_figure(path, 3.8, 3.2, left=1.0) as figure:
        axes = figure.add_subplot()
        for line, mine in enumerate((came == 0, came == 1)):
            for column, said in enumerate((~flagged, flagged)):
                count, part = int((mine & said).sum()), float((mine & said).sum() / max(mine.sum(), 1))
                axes.fill_between([column - 0.5, column + 0.5], line - 0.5, line + 0.5, color=BLUE, alpha=0.6 * part, linewidth=0)
                axes.text(column, line, f"{count:,}\n{part:.1%}", ha="center", va="center")
        axes.set_xticks([0, 1], [other, label])
        axes.set_yticks([0, 1], [other, label])
        axes.set_xlim(-0.5, 1.5)
        axes.set_ylim(1.5, -0.5)
        axes.set_xlabel("decision at the threshold of the costs")
        axes.set_ylabel("what came")
        axes.set_title(f"{name}: {len(rows):,} test rows", fontsize=9, loc="left")


def _styled(candidates: Mapping[str, pd.DataFrame], baselines: frozenset[str]) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    styled = []
    for number, (name, rows) in enumerate(candidates.items()):
        dashed = "--" if name in baselines else "-"
        styled.append((name, rows, {"color": COLOURS[number % len(COLOURS)], "linestyle": dashed, "linewidth": 1.1}))
    return styled


def _taken(probability: Float64, came: Float64) -> tuple[Float64, Float64]:
    """How many of the last class, and how many rows, have at least each distinct probability, from the highest; from 0."""
    order = np.argsort(-probability, kind="stable")
    last = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)
    caught = np.cumsum(came[order])[last]
    return np.concatenate([[0.0], caught]), np.concatenate([[0.0], last + 1.0])


def _thin(count: int) -> NDArray[np.int64]:
    """At most POINTS places of a curve: all of the first, where a rare class is decided, then evenly."""
    near = np.arange(min(count, POINTS // 3))
    return np.unique(np.concatenate([near, np.linspace(0, count - 1, min(count, POINTS)).astype(np.int64)]))


def _reversed(axes: Any) -> tuple[list[Any], list[Any]]:
    handles, labels = axes.get_legend_handles_labels()
    return handles[::-1], labels[::-1]
