"""Versions of rows as they are found, and which of them say something of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.samples.events import Int64
from finflow.pipelines.samples.observed import Columns


@dataclass(frozen=True, eq=False)
class Versions:
    """Rows as they were known before a step (see `Instants`).

    Attributes:
        row, step: int64, [versions].
        absent: bool, [versions]; the row was not there.
        columns: of the versions; of an absent one anything.
    """

    row: Int64
    step: Int64
    absent: NDArray[np.bool_]
    columns: Columns

    def take(self, places: Int64 | NDArray[np.bool_]) -> Versions:
        """Those at `places`."""
        return Versions(self.row[places], self.step[places], self.absent[places], taken(self.columns, places))


def taken(columns: Columns, places: Int64 | NDArray[np.bool_]) -> Columns:
    """The columns of the rows at `places`."""
    blocks = {name: block[places] for name, block in columns.blocks.items()}
    return Columns(columns.names, columns.values[places], blocks, columns.breaks[places])


def joined(parts: Sequence[Columns]) -> Columns:
    """The rows of all parts, one after the other."""
    blocks = {name: np.concatenate([part.blocks[name] for part in parts]) for name in parts[0].blocks}
    values = np.concatenate([part.values for part in parts])
    return Columns(parts[0].names, values, blocks, np.concatenate([part.breaks for part in parts]))


def absent_versions(row: Int64, step: Int64, like: Columns) -> Versions:
    """Versions of rows that were not there, with values that are missing."""
    values = np.full((len(row), like.values.shape[1]), np.nan, dtype=np.float32)
    blocks = {name: np.zeros((len(row), block.shape[1]), dtype=block.dtype) for name, block in like.blocks.items()}
    return Versions(row, step, np.ones(len(row), dtype=bool), Columns(like.names, values, blocks, np.zeros(len(row), dtype=bool)))


def together(parts: Sequence[Versions]) -> Versions:
    """All versions, by row and step."""
    row, step = (np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "step"))
    absent = np.concatenate([part.absent for part in parts])
    return Versions(row, step, absent, joined([part.columns for part in parts])).take(np.lexsort((step, row)))


def of_their_own(found: Versions, base: Columns) -> Versions:
    """Those of `found` (by row and step) that differ from what who knows more reads: the row's next version, or the row itself."""
    last = np.append(found.row[1:] != found.row[:-1], True)[: len(found.row)]
    following = np.where(last, found.row, len(base.values) + np.minimum(np.arange(len(last)) + 1, len(last) - 1))
    there = np.concatenate([np.zeros(len(base.values), dtype=bool), found.absent])
    same = same_rows(found.columns, taken(joined([base, found.columns]), following)) | found.absent
    return found.take(~(same & (found.absent == there[following])))


def same_rows(left: Columns, right: Columns) -> NDArray[np.bool_]:
    """bool, [rows]: equal to the bit, in every column and in whether a gap lies before."""
    same = (_bits(left.values) == _bits(right.values)).all(axis=1) & (left.breaks == right.breaks)
    for name, block in left.blocks.items():
        same &= (block == right.blocks[name]).all(axis=1)
    return np.asarray(same)


def _bits(values: NDArray[np.float32]) -> NDArray[Any]:
    """uint32: every NaN alike."""
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)
