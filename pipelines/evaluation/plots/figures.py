"""Plots that any training may have: leaderboard, loss curves, skill, and forecasts with their quantiles. Each function writes one SVG."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation
from finflow.pipelines.core.svg import BLUE, GREY, RED, svg_figure

if TYPE_CHECKING:
    import pandas as pd

    from finflow.models.base import FitReport


def plot_leaderboard(evaluation: Evaluation, path: Path) -> None:
    """The deciding loss of every candidate with its 95 % interval, best on top; baselines grey."""
    shown = [(entry, _metric(entry, evaluation.loss)) for entry in reversed(evaluation.candidates)]
    drawn = [(entry, metric) for entry, metric in shown if metric is not None and metric[0] is not None]
    left = 0.4 + 0.075 * max((len(entry.candidate) for entry, _ in drawn), default=0)
    with svg_figure(path, 7.0, 1.2 + 0.32 * max(len(drawn), 1), left=left) as figure:
        axes = figure.add_subplot()
        for place, (entry, metric) in enumerate(drawn):
            value, low, high = metric
            colour = GREY if entry.baseline else BLUE
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot([value], [place], "o", color=colour)
        axes.set_yticks(range(len(drawn)), [entry.candidate for entry, _ in drawn])
        axes.set_ylim(-0.6, len(drawn) - 0.4)
        axes.set_xlabel(f"{evaluation.loss}, {evaluation.first_date} to {evaluation.last_date} (lower is better; 95 % interval)")
        axes.grid(axis="x", alpha=0.3)


def plot_forecasts(rows: pd.DataFrame, name: str, path: Path) -> None:
    """Forecast against actual with bands at the farthest horizon: a row a fold, a column an entity (the first two).

    Args:
        rows: an evaluation's predictions/<candidate>.parquet: entity, target_time, horizon, q.. (or `variance`, which is drawn as its root,
            because its peaks would hide the rest), actual, fold.
    """
    levels = quantile_columns(rows)
    point, label = levels.get(0.5, ""), "forecast (median)"
    if not levels:
        rows = rows.assign(point=np.sqrt(rows["variance"]), actual=np.sqrt(rows["actual"]))
        point, label = "point", "forecast (root of the daily variance)"
    horizon = rows["horizon"].max()
    chosen = rows[rows["horizon"] == horizon].sort_values("target_time")
    folds, entities = list(dict.fromkeys(chosen["fold"])), list(dict.fromkeys(rows["entity"]))[:2]
    parts = dict(iter(chosen.groupby(["fold", "entity"])))
    with svg_figure(path, 5.5 * len(entities), 0.6 + 1.7 * len(folds)) as figure:
        for place, (fold, entity) in enumerate((fold, entity) for fold in folds for entity in entities):
            if (fold, entity) not in parts:
                continue
            axes, part = figure.add_subplot(len(folds), len(entities), place + 1), parts[fold, entity]
            dates = part["target_time"].to_numpy().astype("datetime64[s]")
            time = dates.astype(np.float64)  # plain numbers and labels of our own: matplotlib's dates take several times as long
            for low, high in _bands(levels):
                axes.fill_between(time, part[low], part[high], color=BLUE, alpha=0.16, linewidth=0)
            axes.plot(time, part[point], color=BLUE, linewidth=0.9, label=label)
            axes.plot(time, part["actual"], color=RED, linewidth=0.9, label="actual")
            axes.set_title(f"{name}, {entity}, {horizon} steps ahead, test period {fold}", fontsize=8, loc="left")
            axes.tick_params(labelsize=6)
            ticks = np.unique(np.linspace(0, len(time) - 1, 5).round().astype(int))
            axes.set_xticks(time[ticks], np.datetime_as_string(dates[ticks], unit="D"))
            axes.locator_params(axis="y", nbins=5)
            if place == 0:
                axes.legend(fontsize=7, loc="upper left")


def plot_coverage(rows: pd.DataFrame, name: str, path: Path) -> None:
    """How often what came lay below each quantile, against how often it should: on the diagonal is right."""
    levels = quantile_columns(rows)
    nominal = list(levels)
    seen = [float((rows["actual"] <= rows[column]).mean()) for column in levels.values()]
    with svg_figure(path, 4.2, 4.2) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        axes.plot(nominal, seen, "o-", color=BLUE)
        axes.set_xlabel("quantile level")
        axes.set_ylabel("part of actual values at or below it")
        axes.set_title(f"{name}: coverage on {len(rows):,} test rows", fontsize=9, loc="left")
        axes.grid(alpha=0.3)


def plot_losses(reports: Mapping[str, FitReport], name: str, path: Path) -> None:
    """Training (thin) and validation loss by epoch, a line a fit; the epoch that was kept is marked. Fits without epochs are left out."""
    with svg_figure(path, 6.0, 3.4) as figure:
        axes = figure.add_subplot()
        for label, report in reports.items():
            epochs = [point["epoch"] for point in report.epochs]
            if not epochs:
                continue
            (line,) = axes.plot(epochs, [point.get("validation_loss", np.nan) for point in report.epochs], linewidth=1.2, label=label)
            axes.plot(epochs, [point.get("train_loss", np.nan) for point in report.epochs], linewidth=0.6, color=line.get_color())
            best = [point for point in report.epochs if point["epoch"] == report.best_epoch]
            axes.plot(
                [point["epoch"] for point in best], [point.get("validation_loss", np.nan) for point in best], "o", color=line.get_color()
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss (thin: training)")
        axes.set_title(f"{name}: loss curves", fontsize=9, loc="left")
        axes.legend(fontsize=6, ncols=2)


def plot_skill(daily: pd.DataFrame, candidate: str, reference: str, loss: str, path: Path) -> None:
    """The loss saved against the reference, added up over time: rising is better, flat is no skill.

    Args:
        daily: the mean loss a date (index: time), a column a candidate.
    """
    saved = (daily[reference] - daily[candidate]).cumsum()
    with svg_figure(path, 7.0, 2.8) as figure:
        axes = figure.add_subplot()
        axes.axhline(0, color=GREY, linewidth=1)
        axes.plot(saved.index.to_numpy(), saved.to_numpy(), color=BLUE, linewidth=1)
        axes.set_ylabel(f"{loss} saved, added up")
        axes.set_title(f"{candidate} against {reference}", fontsize=9, loc="left")
        axes.grid(alpha=0.3)


def quantile_columns(rows: pd.DataFrame) -> dict[float, str]:
    """By level, the columns q05, q50, q97_5 ... of prediction rows, ascending."""
    columns = {}
    for name in map(str, rows.columns):
        if re.fullmatch(r"q\d+(_\d+)?", name):
            columns[float(name[1:].replace("_", ".")) / 100] = name
    return dict(sorted(columns.items()))


def _bands(levels: Mapping[float, str]) -> list[tuple[str, str]]:
    ordered: Sequence[str] = list(levels.values())
    return [(ordered[number], ordered[-1 - number]) for number in range(len(ordered) // 2)]


def _metric(entry: CandidateEvaluation, name: str) -> tuple[float | None, float | None, float | None] | None:
    return next(((metric.value, metric.low, metric.high) for metric in entry.metrics if metric.name == name), None)
