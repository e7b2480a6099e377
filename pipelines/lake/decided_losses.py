"""The losses that decisions were made on: one a date and candidate, kept in the lake before the decision is, so that it can be recomputed.

A run's lie in files of their own (the partition is its key), and the promotions row that they led to holds the digests of their values and
of those files. They are small: dates times candidates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.digest import digest_arrays
from finflow.pipelines.core.errors import StateError
from finflow.pipelines.lake.lake import PARTITION, Lake, literal
from finflow.pipelines.lake.lake_files import LakeFiles

Dates = NDArray[np.datetime64]
Losses = dict[str, NDArray[np.float64]]


class DecidedLosses:
    """The table of one definition; making one reads nothing."""

    def __init__(self, lake: Lake, definition_name: str) -> None:
        self.lake = lake
        self.table = f"decided_losses/{definition_name}"

    def keep(self, run_key: str, dates: Dates, losses: Losses) -> dict[str, Any]:
        """Write the losses of a run, unless they are there, through to the disk; what its decision's row says of them.

        Args:
            dates: of the units compared, in order; of stratified folds each entity's, which may stand there many times.
            losses: by entry, float64, [dates]; NaN where it cannot be compared.

        Returns:
            run_key, digest (of the values), and files (by path in the lake, the digest of the bytes).
        """
        digest = _digest(dates, losses)
        if self._there(run_key) != digest:
            self.lake.replace(self.table, _frame(run_key, dates, losses), f"{PARTITION} = {literal(run_key)}")
        files, paths = LakeFiles(self.lake.location), self.lake.partition_files(self.table, run_key)
        files.sync(paths)
        return {"run_key": run_key, "digest": digest, "files": {path: _bytes_digest(files, path) for path in paths}}

    def read(self, decided_on: Mapping[str, Any]) -> tuple[Dates, Losses]:
        """The dates in order, and by entry float64, [dates].

        Raises:
            StateError: they are not those that were kept.
        """
        dates, losses = self._read(decided_on["run_key"])
        if not len(dates):
            raise StateError(f"the losses of run {decided_on['run_key']} are not in the table {self.table}: they were removed")
        if _digest(dates, losses) != decided_on["digest"]:
            raise StateError(f"the losses of run {decided_on['run_key']} in the table {self.table} were changed")
        return dates, losses

    def _there(self, run_key: str) -> str | None:
        dates, losses = self._read(run_key)
        return _digest(dates, losses) if len(dates) else None

    def _read(self, run_key: str) -> tuple[Dates, Losses]:
        names = ["unit", "time", "entry", "loss"]
        frame = self.lake.read(self.table, columns=names, where=f"{PARTITION} = {literal(run_key)}")
        frame = frame.sort_values("unit", kind="stable")
        parts = {str(name): part for name, part in frame.groupby("entry", sort=False)}
        first = next(iter(parts.values()), frame)
        dates = first["time"].to_numpy().astype("datetime64[ns]")
        return dates, {name: part["loss"].to_numpy(dtype=np.float64) for name, part in parts.items()}


def losses_fault(files: LakeFiles, decided_on: Mapping[str, Any]) -> str | None:
    """What became of the files of the losses that a row names, in words; None where they are as they were, or it names none."""
    apart = decided_on.get("safety") or {}
    for path, digest in {**decided_on.get("files", {}), **apart.get("files", {})}.items():
        now = _bytes_digest(files, path)
        if now != digest:
            return f"the losses that it was decided on {'are gone' if now is None else 'were changed'} ({path})"
    return None


def _bytes_digest(files: LakeFiles, path: str) -> str | None:
    content = files.read(path)
    return None if content is None else hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest(dates: Dates, losses: Losses) -> str:
    times = np.asarray(dates).astype("datetime64[us]").astype(np.int64)
    return digest_arrays({"times": times, **{f"loss {name}": values for name, values in losses.items()}})


def _frame(run_key: str, dates: Dates, losses: Losses) -> pd.DataFrame:
    base = {"unit": np.arange(len(dates)), "time": np.asarray(dates).astype("datetime64[us]")}
    parts = [pd.DataFrame({PARTITION: run_key, **base, "entry": name, "loss": values}) for name, values in losses.items()]
    return pd.concat(parts, ignore_index=True)
