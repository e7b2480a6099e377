"""Where an evaluation lies: a folder with evaluation.json, losses.parquet, samples.parquet, predictions/<candidate>.parquet and tables/."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.manifests import CandidateEvaluation, Check, Comparison, Evaluation, Metric, fold_from
from finflow.pipelines.core.whole_files import whole_folder
from finflow.pipelines.evaluation.comparisons import daily_means, days_of

FORMAT = 1
NAME = "evaluation.json"


def evaluation_from_dict(values: dict[str, Any]) -> Evaluation:
    """The record that `to_dict` and JSON turned into plain values."""

    def candidate(found: dict[str, Any]) -> CandidateEvaluation:
        metrics = tuple(Metric(**one) for one in found["metrics"])
        comparisons = tuple(Comparison(**one) for one in found["comparisons"])
        checks = tuple(Check(**one) for one in found.get("checks", ()))
        lists = {"metrics": metrics, "comparisons": comparisons, "must_beat": tuple(found["must_beat"]), "checks": checks}
        return CandidateEvaluation(**{**found, **lists})

    return Evaluation(
        **{
            **values,
            "folds": tuple(fold_from(one) for one in values["folds"]),
            "candidates": tuple(candidate(one) for one in values["candidates"]),
            "superior": tuple(values["superior"]),
        }
    )


def read_evaluation(folder: str | Path) -> Evaluation:
    """The evaluation in a folder; its `folder` is where it is now.

    Raises:
        StateError: there is none, or one of another format.
    """
    found = _read(Path(folder))
    if found is None:
        raise StateError(f"{folder} holds no evaluation of format {FORMAT}: run the training again.")
    return replace(evaluation_from_dict(found["evaluation"]), folder=str(folder))


def stored_evaluation(folder: Path, inputs: str) -> Evaluation | None:
    """The evaluation in `folder` if it was made of the inputs with this digest, else None."""
    found = _read(folder)
    return read_evaluation(folder) if found is not None and found["inputs"] == inputs else None


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    known = {field.name: field.default is MISSING for field in fields(Evaluation)}
    needed = {name for name, has_none in known.items() if has_none}
    if not needed <= set(found["evaluation"]) <= set(known):  # what has a default may be younger than the evaluation
        return None
    return found


def store_evaluation(evaluation: Evaluation, inputs: str, write_tables: Callable[[Path], None]) -> None:
    """Put the evaluation into its folder by one rename, in place of what may be there.

    Args:
        inputs: digest of what it was made of.
        write_tables: writes the Parquet files into the folder given.
    """
    folder = Path(evaluation.folder)
    # where the same run in another process was quicker, it wrote the same
    with whole_folder(folder, replaces=True) as fresh:
        write_tables(fresh)
        content = {"format": FORMAT, "inputs": inputs, "evaluation": evaluation.to_dict()}
        (fresh / NAME).write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def read_losses(evaluation: Evaluation) -> pd.DataFrame:
    """Every loss of every candidate and test sample: time, entity, fold, candidate, and a float64 column a loss (NaN: invalid)."""
    import pyarrow.parquet as parquet

    found = parquet.ParquetFile(Path(evaluation.folder) / "losses.parquet").read(use_threads=False)
    return pd.DataFrame(found.to_pandas(use_threads=False))


def read_tables(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """The tables that the problem added, by name; none where it adds none."""
    import pyarrow.parquet as parquet

    paths = sorted((Path(evaluation.folder) / "tables").glob("*.parquet"))
    return {path.stem: parquet.ParquetFile(path).read(use_threads=False).to_pandas(use_threads=False) for path in paths}


def daily_losses(evaluation: Evaluation) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """The deciding loss a date: the test dates in order, and by candidate float64, [dates] (NaN: invalid).

    Of stratified folds it is the loss an entity, each with its date.
    """
    frame = read_losses(evaluation)
    stratified = any(fold.stratified is not None for fold in evaluation.folds)
    found, dates = {}, np.zeros(0, dtype="datetime64[ns]")
    for name, part in frame.groupby("candidate", sort=False, observed=True):
        times = days_of(part["time"].to_numpy())
        unit = np.unique(part["entity"].to_numpy().astype(str), return_inverse=True)[1] if stratified else times
        units, means = daily_means(part[evaluation.loss].to_numpy(dtype=np.float64), unit)
        found[str(name)] = means
        dates = times[np.unique(unit, return_index=True)[1]] if stratified else units
    return dates, found
