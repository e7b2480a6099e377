"""What one fit may see: the rows that its samples read, cut out of the run's observations, and the digest of exactly these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Model, Task
from finflow.models.samples import ARRAYS, Int64, Observations, SampleIndex, Samples
from finflow.models.zoo import model_class
from finflow.pipelines.core.digest import ArrayDigest
from finflow.pipelines.samples.folds import select
from finflow.pipelines.samples.narrowing import narrow

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import FitSpec

#: rows that are hashed or copied at once; what lies in memory grows with this, not with the table
CHUNK = 65_536
#: a cut larger than this is put on disk instead of into memory
IN_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Span:
    """Of each entity with samples, one unbroken run of rows that holds all that these samples read.

    Attributes:
        entity: int64, [k]; codes in the observations that the span was taken from.
        first, stop: int64, [k]; rows first <= row < stop.
    """

    entity: Int64
    first: Int64
    stop: Int64

    @property
    def rows(self) -> int:
        return int((self.stop - self.first).sum())

    @property
    def places(self) -> Int64:
        """int64, [rows]: every row of the span, entity after entity."""
        count = self.stop - self.first
        return np.arange(count.sum()) + np.repeat(self.first - (np.cumsum(count) - count), count)


def unfitted(model: str, settings: dict[str, Any], task: dict[str, Any]) -> Model:
    """The model of a spec, before it is fitted.

    Raises:
        KeyError: the zoo has no such model.
        pydantic.ValidationError: the settings do not fit it.
    """
    found = model_class(model)
    return found(found.Settings.model_validate(settings), Task.from_dict(task))


def span_of(samples: Samples, groups: Sequence[Int64], context: int) -> Span:
    """The rows that the samples at `groups` (positions) read when a model looks `context` observations back."""
    positions = np.concatenate([np.asarray(group, dtype=np.int64) for group in groups])
    row, code = samples.index.row[positions], samples.index.entity[positions]
    entities = len(samples.observations.entities)
    low = np.full(entities, np.iinfo(np.int64).max)
    high = np.full(entities, -1, dtype=np.int64)
    np.minimum.at(low, code, row)
    np.maximum.at(high, code, row)
    kept = np.flatnonzero(high >= 0).astype(np.int64)
    begin = samples.observations.first_read(low[kept], kept, max(context, samples.length))
    return Span(kept, begin, high[kept] + 1)


def digest_of(samples: Samples, groups: Sequence[Int64], context: int) -> str:
    """Digest of everything that `cut` gives: observations, times, entities, and each group's samples with their targets.

    It does not depend on where the rows stand in the table, nor on rows or entities outside.
    """
    span = span_of(samples, groups, context)
    observations = samples.observations
    kept = narrow(observations, samples.index.take(np.concatenate(groups)), span.places)
    head = "\0".join([str(samples.length), *observations.columns, "\0", *(observations.entities[code] for code in span.entity)])
    total = ArrayDigest(head)
    total.add("count", span.stop - span.first)
    for name, source in _arrays(observations).items():
        places = span.places if name == "time" else kept.places
        for start in range(0, len(places), CHUNK):
            total.add(name, np.asarray(source[places[start : start + CHUNK]]))
    if kept.revised is not None:
        for name in ("known", "row", "until", "absent"):
            total.add(f"revised.{name}", getattr(kept.revised, name))
    for number, group in enumerate(groups):
        index = _moved(samples.index.take(group), span, len(observations.entities))
        for name in ARRAYS:
            total.add(f"{number}.{name}", getattr(index, name))
    return str(total)


def cut(samples: Samples, groups: Sequence[Int64], context: int, scratch: Path) -> list[Samples]:
    """Each group of samples, as views of one copy that holds only the rows they read, as they knew them: nothing else can be learnt from.

    Args:
        scratch: an existing folder for a copy that is too large for memory.
    """
    span = span_of(samples, groups, context)
    observations = samples.observations
    kept = narrow(observations, samples.index.take(np.concatenate(groups)), span.places)
    large = len(kept.places) * observations.values.itemsize * observations.values.shape[1] > IN_MEMORY_BYTES
    arrays = {
        name: _copied(source, span.places if name == "time" else kept.places, scratch / f"{name}.npy" if large else None)
        for name, source in _arrays(observations).items()
    }
    alone = Observations(
        values=arrays.pop("values"),
        columns=observations.columns,
        entities=tuple(observations.entities[code] for code in span.entity),
        first=np.concatenate([[0], np.cumsum(span.stop - span.first)]).astype(np.int64),
        time=arrays.pop("time"),
        blocks={name.removeprefix("block."): array for name, array in arrays.items()},
        revised=kept.revised,
    )
    parts = [_moved(samples.index.take(group), span, len(observations.entities)) for group in groups]
    return [Samples(observations=alone, index=part, length=samples.length) for part in parts]


def training_groups(spec: FitSpec, samples: Samples) -> tuple[Int64, Int64]:
    """Positions of the train and the validation samples of a spec's fold."""
    positions = select(spec.fold, samples.index, spec.embargo)
    return positions.train, positions.validation


def test_group(spec: FitSpec, samples: Samples) -> Int64:
    """Positions of the test samples of a spec's fold; none for a production fold."""
    return select(spec.fold, samples.index, spec.embargo).test


def _arrays(observations: Observations) -> dict[str, NDArray[Any]]:
    blocks = {f"block.{name}": observations.blocks[name] for name in sorted(observations.blocks)}
    return {"values": observations.values, "time": observations.time, **blocks}


def _moved(index: SampleIndex, span: Span, entities: int) -> SampleIndex:
    """The index with rows and entity codes counted within the span."""
    offset = np.concatenate([[0], np.cumsum(span.stop - span.first)])[:-1] - span.first
    code = np.full(entities, -1, dtype=np.int64)
    code[span.entity] = np.arange(len(span.entity))
    entity = code[index.entity]
    return replace(index, row=index.row + offset[entity], entity=entity)


def _copied(source: NDArray[Any], places: Int64, path: Path | None) -> NDArray[Any]:
    shape = (len(places), *source.shape[1:])
    if path is None:
        target = np.empty(shape, dtype=source.dtype)
    else:
        target = np.lib.format.open_memmap(path, mode="w+", dtype=source.dtype, shape=shape)
        with path.open("r+b") as file:  # a mapped page that the disk has no room for would kill the process
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    for start in range(0, len(places), CHUNK):
        target[start : start + CHUNK] = source[places[start : start + CHUNK]]
    return target
