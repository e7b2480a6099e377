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
from finflow.pipelines.core.sight import Sight
from finflow.pipelines.core.whole_files import whole_folder
from finflow.pipelines.evaluation.comparisons import daily_means, days_of

FORMAT = 1
NAME = "evaluation.json"
#: the champion's recipe and the baselines on all test dates, the sealed ones too: apart from what is shown
SAFETY, SAFETY_LOSSES = "safety.json", "safety_losses.parquet"


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
            "sight": None if values.get("sight") is None else Sight(**values["sight"]),
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
    """Every loss of every candidate and test sample that is shown: time, entity, fold, candidate, a float64 column a loss (NaN: invalid),
    and `decided` (bool: a challenge was decided on it)."""
    return _read_parquet(Path(evaluation.folder) / "losses.parquet")


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as parquet

    return pd.DataFrame(parquet.ParquetFile(path).read(use_threads=False).to_pandas(use_threads=False))


def read_tables(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """The tables that the problem added, by name; none where it adds none."""
    import pyarrow.parquet as parquet

    paths = sorted((Path(evaluation.folder) / "tables").glob("*.parquet"))
    return {path.stem: parquet.ParquetFile(path).read(use_threads=False).to_pandas(use_threads=False) for path in paths}


def daily_losses(evaluation: Evaluation) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """The deciding loss a date: the test dates that are shown, in order, and by candidate float64, [dates] (NaN: invalid).

    Of stratified folds it is the loss an entity, each with its date.
    """
    return _by_date(evaluation, read_losses(evaluation))


def compared_losses(evaluation: Evaluation) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """`daily_losses` of the dates that the comparisons were made on: those that decided, or all where none did."""
    frame = read_losses(evaluation)
    decided = frame["decided"].to_numpy(dtype=bool) if "decided" in frame else np.ones(len(frame), dtype=bool)
    return _by_date(evaluation, frame[decided] if decided.any() else frame)


def safety_losses(evaluation: Evaluation) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """`daily_losses` of the champion's recipe and the baselines on all test dates, the sealed ones too; of all entries where none is."""
    path = Path(evaluation.folder) / SAFETY_LOSSES
    return _by_date(evaluation, _read_parquet(path)) if path.is_file() else daily_losses(evaluation)


def read_safety(evaluation: Evaluation) -> Evaluation:
    """The champion's recipe and the baselines on all test dates, the sealed ones too (see `safety.write_safety`); where nothing is kept
    apart, the evaluation itself says it."""
    path = Path(evaluation.folder) / SAFETY
    if not evaluation.folder or not path.is_file():
        return evaluation
    return replace(evaluation_from_dict(json.loads(path.read_text(encoding="utf-8"))), folder=evaluation.folder)


def _by_date(evaluation: Evaluation, frame: pd.DataFrame) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    stratified = any(fold.stratified is not None for fold in evaluation.folds)
    found, dates = {}, np.zeros(0, dtype="datetime64[ns]")
    for name, part in frame.groupby("candidate", sort=False, observed=True):
        times = days_of(part["time"].to_numpy())
        unit = np.unique(part["entity"].to_numpy().astype(str), return_inverse=True)[1] if stratified else times
        units, means = daily_means(part[evaluation.loss].to_numpy(dtype=np.float64), unit)
        found[str(name)] = means
        dates = times[np.unique(unit, return_index=True)[1]] if stratified else units
    return dates, found
