"""Which plots a training has, and where they lie: a folder beside its evaluation that appears whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from finflow.models.base import FitReport
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, FitResult
from finflow.pipelines.core.whole_files import whole_folder
from finflow.pipelines.evaluation.plots.classes import class_columns, plot_calibration, plot_confusion
from finflow.pipelines.evaluation.plots.figures import (
    plot_coverage,
    plot_forecasts,
    plot_leaderboard,
    plot_losses,
    plot_skill,
    quantile_columns,
)
from finflow.pipelines.evaluation.plots.outcome import (
    is_outcome,
    plot_costs,
    plot_decisions,
    plot_fairness,
    plot_gains,
    plot_ranking,
    plot_reliability,
    plot_stability,
)
from finflow.pipelines.evaluation.plots.risk import plot_exceptions, risk_columns
from finflow.pipelines.evaluation.plots.scenarios import plot_facts, plot_paths, scenario_columns
from finflow.pipelines.evaluation.store import read_tables
from finflow.pipelines.fits.process import fork, is_warm

if TYPE_CHECKING:
    import pandas as pd


def draw_training(evaluation: Evaluation, reports: Mapping[FitResult, FitReport], folder: Path) -> dict[str, Path]:
    """Draw all plots of a training into `folder` unless they are there; those for the report, by caption.

    `leaderboard.svg`; for outcomes, of all candidates, `reliability.svg`, `ranking.svg`, `gains.svg`, `costs.svg` and, where there are such
    tables, `fairness.svg` and `stability.svg`; and for each candidate a folder of its name with `skill.svg`, `losses.svg` (where there are
    epochs), and for quantiles `forecasts.svg` and `coverage.svg`, for variances `forecasts.svg`, for values at risk `exceptions.svg`, for
    classes `calibration.svg` and `confusion.svg`, for outcomes `decisions.svg`, for paths `paths.svg` and `facts.svg`.
    """
    if not folder.is_dir():
        with whole_folder(folder) as part:
            _draw(evaluation, reports, part)
    best = next((entry.candidate for entry in evaluation.candidates if not entry.baseline), evaluation.candidates[0].candidate)
    wanted = {
        "Leaderboard": folder / "leaderboard.svg",
        "Calibration of every candidate": folder / "reliability.svg",
        "Ranking": folder / "ranking.svg",
        "Gains": folder / "gains.svg",
        "Costs": folder / "costs.svg",
        "Fairness": folder / "fairness.svg",
        "Stability": folder / "stability.svg",
        f"{best}: loss saved against the reference": folder / best / "skill.svg",
        f"{best}: forecast against actual": folder / best / "forecasts.svg",
        f"{best}: coverage": folder / best / "coverage.svg",
        f"{best}: losses beyond the value at risk": folder / best / "exceptions.svg",
        f"{best}: calibration": folder / best / "calibration.svg",
        f"{best}: confusion matrix": folder / best / "confusion.svg",
        f"{best}: decisions": folder / best / "decisions.svg",
        f"{best}: drawn paths against what came": folder / best / "paths.svg",
        f"{best}: stylised facts": folder / best / "facts.svg",
    }
    return {caption: path for caption, path in wanted.items() if path.is_file()}


def _draw(evaluation: Evaluation, reports: Mapping[FitResult, FitReport], folder: Path) -> None:
    """Draw everything; where there is a process to fork from, as many processes as cores share the candidates."""
    names = [entry.candidate for entry in evaluation.candidates]
    shares = [names]
    if is_warm():
        cores = len(os.sched_getaffinity(0))
        shares = [names[first::cores] for first in range(min(cores, len(names)))]
    others = [(share, fork(_draw_candidates, evaluation, dict(reports), folder, share)) for share in shares[1:]]
    plot_leaderboard(evaluation, folder / "leaderboard.svg")
    _draw_outcomes(evaluation, folder)
    _draw_candidates(evaluation, reports, folder, shares[0])
    for share, process in others:
        process.join()
        if process.exitcode != 0:
            _draw_candidates(evaluation, reports, folder, share)  # so that its error is raised here, if it was not the process's own


def _draw_candidates(evaluation: Evaluation, reports: Mapping[FitResult, FitReport], folder: Path, names: Sequence[str]) -> None:
    losses = _read(Path(evaluation.folder) / "losses.parquet", ["time", "candidate", evaluation.loss])
    daily = losses.pivot_table(index="time", columns="candidate", values=evaluation.loss, aggfunc="mean")
    for entry in evaluation.candidates:
        if entry.candidate in names:
            _draw_candidate(evaluation, entry, reports, daily, folder / entry.candidate)


def _draw_outcomes(evaluation: Evaluation, folder: Path) -> None:
    """What shows all candidates of an outcome beside each other; nothing of another problem."""
    candidates = {}
    for entry in evaluation.candidates:
        path = Path(evaluation.folder) / "predictions" / f"{entry.candidate}.parquet"
        if not entry.invalid and path.is_file():
            rows = _read(path)
            if not is_outcome(rows):
                return
            candidates[entry.candidate] = rows
    if not candidates:
        return
    baselines = frozenset(entry.candidate for entry in evaluation.candidates if entry.baseline)
    plot_reliability(candidates, folder / "reliability.svg")
    plot_ranking(candidates, baselines, folder / "ranking.svg")
    plot_gains(candidates, baselines, folder / "gains.svg")
    plot_costs(candidates, baselines, folder / "costs.svg")
    tables = read_tables(evaluation)
    if "fairness" in tables:
        plot_fairness(tables["fairness"], next(iter(candidates)), folder / "fairness.svg")
    if "stability" in tables:
        plot_stability(tables["stability"], folder / "stability.svg")


def _draw_candidate(
    evaluation: Evaluation, entry: CandidateEvaluation, reports: Mapping[FitResult, FitReport], daily: pd.DataFrame, place: Path
) -> None:
    name, reference = entry.candidate, evaluation.reference
    curves = {f"{fit.fold}, seed {fit.seed}": report for fit, report in reports.items() if fit.candidate == name and report.epochs}
    if curves:
        plot_losses(curves, name, place / "losses.svg")
    if name != reference and name in daily.columns:
        plot_skill(daily, name, reference, evaluation.loss, place / "skill.svg")
    predictions = Path(evaluation.folder) / "predictions" / f"{name}.parquet"
    if entry.invalid or not predictions.is_file():
        return
    rows = _read(predictions)
    quantiles = 0.5 in quantile_columns(rows)
    if "actual" in rows.columns and (quantiles or "variance" in rows.columns):
        plot_forecasts(rows, name, place / "forecasts.svg")
    if "actual" in rows.columns and quantiles:
        plot_coverage(rows, name, place / "coverage.svg")
    if "actual" in rows.columns and risk_columns(rows):
        plot_exceptions(rows, name, place / "exceptions.svg")
    if is_outcome(rows):
        plot_decisions(rows, name, place / "decisions.svg")
    elif "actual" in rows.columns and class_columns(rows):
        plot_calibration(rows, name, place / "calibration.svg")
        plot_confusion(rows, name, place / "confusion.svg")
    if scenario_columns(rows):
        samples = _read(Path(evaluation.folder) / "samples.parquet")
        plot_paths(rows, samples, name, place / "paths.svg")
        plot_facts(rows, samples, name, place / "facts.svg")


def _read(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A Parquet file as a frame, on one thread."""
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path).read(columns=columns, use_threads=False).to_pandas(use_threads=False)
