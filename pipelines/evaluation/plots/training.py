"""Which plots a training has, and where they lie: a folder beside its evaluation that appears whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.models.base import FitReport
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, FitResult
from finflow.pipelines.core.whole_files import whole_folder
from finflow.pipelines.evaluation.plots.figures import plot_leaderboard, plot_losses, plot_skill
from finflow.pipelines.evaluation.store import read_tables
from finflow.pipelines.fits.process import fork, is_warm
from finflow.pipelines.problems.plots import Plot

if TYPE_CHECKING:
    import pandas as pd


def draw_training(evaluation: Evaluation, plots: Sequence[Plot], reports: Mapping[FitResult, FitReport], folder: Path) -> dict[str, Path]:
    """Draw all plots of a training into `folder` unless they are there; those for the report, by caption.

    Every problem has `leaderboard.svg`, and for each candidate a folder of its name with `skill.svg` and, where there are epochs,
    `losses.svg`. The problem's own lie beside them: those of all candidates beside the leaderboard, a candidate's in its folder.

    Args:
        plots: of the problem (see `Problem.plots`).
        reports: of every fit.
    """
    if not folder.is_dir():
        with whole_folder(folder) as part:
            _draw(evaluation, plots, reports, part)
    best = next((entry.candidate for entry in evaluation.candidates if not entry.baseline), evaluation.candidates[0].candidate)
    wanted = {"Leaderboard": folder / "leaderboard.svg"}
    wanted |= {plot.caption: folder / f"{plot.name}.svg" for plot in plots if plot.together}
    wanted[f"{best}: loss saved against the reference"] = folder / best / "skill.svg"
    wanted |= {f"{best}: {plot.caption}": folder / best / f"{plot.name}.svg" for plot in plots if not plot.together}
    return {caption: path for caption, path in wanted.items() if path.is_file()}


def _draw(evaluation: Evaluation, plots: Sequence[Plot], reports: Mapping[FitResult, FitReport], folder: Path) -> None:
    """Draw everything; where there is a process to fork from, as many processes as cores share the candidates."""
    names = [entry.candidate for entry in evaluation.candidates]
    shares = [names]
    if is_warm():
        cores = len(os.sched_getaffinity(0))
        shares = [names[first::cores] for first in range(min(cores, len(names)))]
    others = [(share, fork(_draw_candidates, evaluation, plots, dict(reports), folder, share)) for share in shares[1:]]
    plot_leaderboard(evaluation, folder / "leaderboard.svg")
    _draw_together(evaluation, [plot for plot in plots if plot.together], folder)
    _draw_candidates(evaluation, plots, reports, folder, shares[0])
    for share, process in others:
        process.join()
        if process.exitcode != 0:
            _draw_candidates(evaluation, plots, reports, folder, share)  # so that its error is raised here, if it was not the process's own


def _draw_together(evaluation: Evaluation, plots: Sequence[Plot], folder: Path) -> None:
    """What shows all candidates beside each other: those that can be compared."""
    files = {entry.candidate: _predictions(evaluation, entry) for entry in evaluation.candidates} if plots else {}
    candidates = {name: _read(path) for name, path in files.items() if path is not None}
    if not candidates:
        return
    baselines = frozenset(entry.candidate for entry in evaluation.candidates if entry.baseline)
    _draw_plots(evaluation, plots, {"candidates": candidates, "baselines": baselines, "best": next(iter(candidates))}, folder)


def _draw_candidates(
    evaluation: Evaluation, plots: Sequence[Plot], reports: Mapping[FitResult, FitReport], folder: Path, names: Sequence[str]
) -> None:
    losses = _read(Path(evaluation.folder) / "losses.parquet", ["time", "candidate", evaluation.loss])
    daily = losses.pivot_table(index="time", columns="candidate", values=evaluation.loss, aggfunc="mean")
    for entry in evaluation.candidates:
        if entry.candidate not in names:
            continue
        place = folder / entry.candidate
        _draw_fits(evaluation, entry, reports, daily, place)
        path = _predictions(evaluation, entry)
        if path is not None:
            handed = {"rows": _read(path), "name": entry.candidate}
            _draw_plots(evaluation, [plot for plot in plots if not plot.together], handed, place)


def _draw_fits(
    evaluation: Evaluation, entry: CandidateEvaluation, reports: Mapping[FitResult, FitReport], daily: pd.DataFrame, place: Path
) -> None:
    """What a candidate of any problem has: its loss curves, and its skill over time."""
    name, reference = entry.candidate, evaluation.reference
    curves = {f"{fit.fold}, seed {fit.seed}": report for fit, report in reports.items() if fit.candidate == name and report.epochs}
    if curves:
        plot_losses(curves, name, place / "losses.svg")
    if name != reference and name in daily.columns:
        plot_skill(daily, name, reference, evaluation.loss, place / "skill.svg")


def _draw_plots(evaluation: Evaluation, plots: Sequence[Plot], handed: Mapping[str, Any], folder: Path) -> None:
    """Draw each plot into `folder`, of what it reads of `handed`, of the evaluation's samples and of the problem's tables."""
    tables = read_tables(evaluation) if any(plot.table for plot in plots) else {}
    if any("samples" in plot.reads for plot in plots):
        handed = {**handed, "samples": _read(Path(evaluation.folder) / "samples.parquet")}
    for plot in plots:
        if plot.table is None or plot.table in tables:
            table = () if plot.table is None else (tables[plot.table],)
            plot.function()(*table, *(handed[name] for name in plot.reads), folder / f"{plot.name}.svg")


def _predictions(evaluation: Evaluation, entry: CandidateEvaluation) -> Path | None:
    """The file of a candidate's predictions of the test samples; None where it cannot be compared."""
    path = Path(evaluation.folder) / "predictions" / f"{entry.candidate}.parquet"
    return None if entry.invalid or not path.is_file() else path


def _read(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A Parquet file as a frame, on one thread."""
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path).read(columns=columns, use_threads=False).to_pandas(use_threads=False)
