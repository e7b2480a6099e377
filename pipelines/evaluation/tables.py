"""What an evaluation leaves for people: its Parquet files, and the sentence that says what its numbers rest on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import Float64
from finflow.pipelines.evaluation.comparisons import units_of
from finflow.pipelines.evaluation.inputs import INTERVAL_REPLICATIONS, EvaluationPanel, EvaluationRequest
from finflow.pipelines.evaluation.sight import Mask
from finflow.pipelines.problems.answers import actual_of
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.statistics import cosine_terms, default_block


def protocol(request: EvaluationRequest, panel: EvaluationPanel, horizon: int) -> str:
    """One sentence that says what the numbers rest on."""
    definition, replications = request.definition, request.replications
    units = len(np.unique(units_of(panel.index, panel.folds)))
    seeds = max(len(forecast.seeds) for forecast in panel.forecasts.values())
    simulated = " of SIMULATED data" if definition.simulated else ""
    differences = (
        f" {definition.gate.loss} is a logarithmic score: a change of 1 % is a difference of 0.01, and its level means nothing."
        if request.problem.logarithmic(definition.gate.loss)
        else ""
    )
    if panel.folds[0].stratified is not None:
        return _stratified_protocol(request, panel, units, seeds)
    dates = units
    return (
        f"{len(panel.folds)} walk-forward test periods{simulated}, {day(panel.index.time.min())} to {day(panel.index.time.max())}: "
        f"{len(panel.index):,} samples of {len(np.unique(panel.index.entity))} entities on {dates:,} dates, purged, embargo "
        f"{definition.folds.embargo}; up to {seeds} seeds a network, averaged; tests on one {definition.gate.loss} a date: "
        f"Diebold-Mariano, one-sided, with a variance of {cosine_terms(dates, horizon)} cosines, corrected step-down over challengers "
        f"({replications:,} bootstrap draws, mean block {default_block(dates, horizon)}); intervals 95 %, {INTERVAL_REPLICATIONS:,} "
        f"block-bootstrap draws.{differences}"
    )


def _stratified_protocol(request: EvaluationRequest, panel: EvaluationPanel, entities: int, seeds: int) -> str:
    definition = request.definition
    parts = {fold.stratified.parts for fold in panel.folds if fold.stratified is not None}.pop()
    simulated = " of SIMULATED data" if definition.simulated else ""
    return (
        f"NOT walk-forward, for the rows{simulated} have no time: {len(panel.folds)} folds, stratified by class, {parts} parts in each of "
        f"{len(panel.folds) // parts} repeats; {entities:,} entities; up to {seeds} seeds a network, averaged; tests on one "
        f"{definition.gate.loss} an entity, averaged over the repeats: paired, one-sided, corrected step-down over challengers "
        f"({request.replications:,} bootstrap draws); intervals 95 %, {INTERVAL_REPLICATIONS:,} bootstrap draws. Training parts overlap, "
        "for which no test here allows: p-values are somewhat too small (Nadeau and Bengio, 2003)."
    )


def losses_frame(panel: EvaluationPanel, losses: Mapping[str, Mapping[str, Float64]], decides: Mask | None = None) -> pd.DataFrame:
    """time, entity, fold, candidate, a column a loss, and whether a challenge was decided on the sample."""
    base, decided = _base(panel), np.ones(len(panel.index), dtype=bool) if decides is None else decides
    parts = [pd.DataFrame({**base, "candidate": name, **found, "decided": decided}) for name, found in losses.items()]
    return pd.concat(parts, ignore_index=True)


def _base(panel: EvaluationPanel) -> dict[str, NDArray[Any]]:
    return {
        "time": panel.index.time.astype("datetime64[us]"),
        "entity": np.array(panel.entities, dtype=object)[panel.index.entity],
        "fold": np.array([fold.name for fold in panel.folds], dtype=object)[panel.fold],
    }


def write_tables(
    folder: Path,
    problem: Problem,
    panel: EvaluationPanel,
    losses: Mapping[str, Mapping[str, Float64]],
    tables: Mapping[str, pd.DataFrame],
    decides: Mask | None = None,
) -> None:
    """losses.parquet, samples.parquet, predictions/<candidate>.parquet and tables/<name> (see `evaluation.evaluate`)."""
    base = _base(panel)
    names = base["fold"]
    write_parquet(losses_frame(panel, losses, decides), folder / "losses.parquet")
    targets = {f"target_{number + 1}": panel.index.target[:, number] for number in range(panel.index.target.shape[1])}
    write_parquet(pd.DataFrame({"position": panel.positions, **base, "origin": panel.index.origin, **targets}), folder / "samples.parquet")
    (folder / "predictions").mkdir()
    times = panel.index.time.astype("datetime64[us]")
    for name, forecast in panel.forecasts.items():
        with np.errstate(all="ignore"):
            rows = problem.rows(forecast.ensemble, panel.index, panel.entities)
            each = len(rows) // len(panel.index)
            in_order = _in_order(rows, panel, each)
            rows["fold"] = np.repeat(names, each) if in_order else rows["time"].map(dict(zip(times, names, strict=True)))
            actual = actual_of(problem, forecast.ensemble, panel.index, panel.entities)
            if actual is not None:
                rows["actual"] = actual
        write_parquet(rows, folder / "predictions" / f"{name}.parquet")
    for name, table in tables.items():
        (folder / "tables").mkdir(exist_ok=True)
        write_parquet(table, folder / "tables" / f"{name}.parquet")
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)


def _in_order(rows: pd.DataFrame, panel: EvaluationPanel, each: int) -> bool:
    """Whether the rows are so many a sample, sample after sample."""
    if each * len(panel.index) != len(rows):
        return False
    return np.array_equal(rows["time"].to_numpy("datetime64[us]"), np.repeat(panel.index.time.astype("datetime64[us]"), each))


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame, on one thread."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False, nthreads=1), path)


def day(time: Any) -> str:
    """YYYY-MM-DD."""
    return str(np.datetime_as_string(np.datetime64(time), unit="D"))
