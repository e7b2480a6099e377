"""Plots of a monitoring: how far each subject is out, the features that are furthest out, and the loss saved against the reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from finflow.pipelines.core.svg import BLUE, GREY, RED, svg_figure
from finflow.pipelines.lake.monitoring_checks import FEATURES, PREDICTIONS, MonitoringCheck
from finflow.pipelines.monitoring.drift import feature_series, worst_subjects
from finflow.pipelines.monitoring.performance import daily_losses
from finflow.pipelines.samples.features import numeric_features

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.monitoring.result import MonitoringResult, Pages

#: features that are drawn, those furthest out first
DRAWN = 4
#: points of a line; more cannot be seen
POINTS = 800


def draw_monitoring(definition: Definition, result: MonitoringResult, pages: Pages, folder: Path) -> dict[str, Path]:
    """Draw what there is into `folder`; the files by caption."""
    plots: dict[str, Path] = {}
    drift = [one for one in result.checks if one.part in (FEATURES, PREDICTIONS) and one.measured]
    if drift:
        plots["Drift, as part of what raises an alarm"] = folder / "drift.svg"
        plot_drift(drift, plots["Drift, as part of what raises an alarm"])
    numbers = numeric_features(definition)  # a category has no mean that could be drawn
    names = [name for name in worst_subjects(result.checks, FEATURES, len(result.checks)) if name in numbers][:DRAWN]
    if names and pages.now is not None and pages.champion is not None:
        caption = "The features furthest out (mean over entities; grey: what the champion was trained on)"
        plots[caption] = folder / "features.svg"
        series = feature_series(definition, pages.now, names)
        plot_features(series, pages.champion.as_of.tz_localize(None), definition.monitoring.sessions, plots[caption])
    if pages.scored is not None:
        losses = daily_losses(pages.scored, definition.monitoring.performance_sessions).dropna()
        if len(losses) >= definition.monitoring.minimum_dates:
            caption = f"Loss saved against {definition.reference}, added up (rising is better)"
            plots[caption] = folder / "loss.svg"
            plot_saved(losses, definition.gate.loss, plots[caption])
    return plots


def part_of_alarm(one: MonitoringCheck) -> float:
    """A distance as part of what raises an alarm: above 1 it does."""
    if one.value is None or not one.threshold:
        return 0.0
    if one.check == "spread":
        return abs(math.log(max(one.value, 1e-12))) / max(abs(math.log(one.threshold)), 1e-12)
    return abs(one.value / one.threshold)


def plot_drift(checks: list[MonitoringCheck], path: Path) -> None:
    """A line a subject, a mark a distance; right of 1 is an alarm."""
    subjects = list(dict.fromkeys((one.part, one.subject) for one in checks))[::-1]
    marks = {"psi": "o", "ks": "s", "shift": "^", "spread": "D"}
    left = 0.5 + 0.075 * max(len(subject) for _, subject in subjects)
    with svg_figure(path, 7.0, 1.2 + 0.26 * len(subjects), left=left) as figure:
        axes = figure.add_subplot()
        axes.axvline(1.0, color=RED, linewidth=1)
        for kind, mark in marks.items():
            shown = [one for one in checks if one.check == kind]
            places = [subjects.index((one.part, one.subject)) for one in shown]
            parts = [min(part_of_alarm(one), 3.0) for one in shown]
            colours = [RED if one.alarm else BLUE for one in shown]
            axes.scatter(parts, places, marker=mark, c=colours, s=18, label=kind)
        labels = [subject if part == FEATURES else f"prediction: {subject}" for part, subject in subjects]
        axes.set_yticks(range(len(subjects)), labels)
        axes.set_ylim(-0.6, len(subjects) - 0.4)
        axes.set_xlim(0, 3.05)
        axes.set_xlabel("distance, as part of what raises an alarm (3 stands for more)")
        axes.legend(fontsize=6, ncols=4, loc="lower right")
        axes.grid(axis="x", alpha=0.3)


def plot_features(series: Any, trained_as_of: pd.Timestamp, sessions: int, path: Path) -> None:
    """Each feature over time, what the champion was trained on grey, the sessions that are compared red."""
    with svg_figure(path, 7.0, 0.8 + 1.3 * len(series)) as figure:
        for place, (name, values) in enumerate(series.items()):
            axes = figure.add_subplot(len(series), 1, place + 1)
            time = pd.DatetimeIndex(values.index)
            recent = np.arange(len(values)) >= len(values) - sessions
            thin = np.unique(np.linspace(0, len(values) - 1, POINTS).astype(int))
            thin = np.unique(np.concatenate([thin, np.flatnonzero(recent)]))
            for chosen, colour in ((time <= trained_as_of, GREY), (time > trained_as_of, BLUE), (recent, RED)):
                kept = thin[chosen[thin]]
                axes.plot(time[kept].to_numpy(), values.to_numpy()[kept], color=colour, linewidth=0.8)
            axes.set_title(name, fontsize=8, loc="left")
            axes.tick_params(labelsize=6)
            axes.locator_params(axis="y", nbins=4)


def plot_saved(daily: pd.DataFrame, loss: str, path: Path) -> None:
    """The loss saved against the reference, added up.

    Args:
        daily: `loss` and `reference`, a row a date.
    """
    saved = (daily["reference"] - daily["loss"]).cumsum()
    with svg_figure(path, 7.0, 2.8) as figure:
        axes = figure.add_subplot()
        axes.axhline(0, color=GREY, linewidth=1)
        axes.plot(saved.index.to_numpy(), saved.to_numpy(), color=BLUE, linewidth=1)
        axes.set_ylabel(f"{loss} saved, added up")
        axes.tick_params(labelsize=6)
        axes.grid(alpha=0.3)
