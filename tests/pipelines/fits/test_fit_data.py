"""A fit sees the rows that its samples read, and its digest is of exactly these."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import finflow.pipelines.fits.data as fit_data
from finflow.models.samples import Samples
from finflow.pipelines.fits.data import cut, digest_of, span_of
from finflow.pipelines.samples.windows import build_samples
from tests.support.pipelines.fit_support import definition, market

GROUPS = (np.arange(20, 200), np.arange(230, 300))


@pytest.fixture(scope="module")
def samples() -> Samples:
    return build_samples(definition(), market())


@pytest.mark.parametrize("context", [10, 40, 500])
def test_a_cut_gives_the_same_windows_and_targets(samples: Samples, tmp_path: Path, context: int) -> None:
    for view, group in zip(cut(samples, GROUPS, context, tmp_path), GROUPS, strict=True):
        np.testing.assert_array_equal(view.gather(length=context), samples.take(group).gather(length=context))
        np.testing.assert_array_equal(view.targets, samples.targets[group])
        np.testing.assert_array_equal(view.index.time, samples.index.time[group])
        names = [view.observations.entities[code] for code in view.index.entity]
        assert names == [samples.observations.entities[code] for code in samples.index.entity[group]]


def test_a_cut_holds_no_row_after_its_last_sample(samples: Samples, tmp_path: Path) -> None:
    train, validation = cut(samples, GROUPS, 10, tmp_path)
    assert train.observations is validation.observations
    assert train.observations.time.max() == samples.index.time[299]
    assert len(train.observations.values) == span_of(samples, GROUPS, 10).rows < len(samples.observations.values)
    assert train.observations.entities == (samples.observations.entities[0],), "the other entity has no sample in these groups"


def test_a_large_cut_is_put_on_disk_and_is_the_same(samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = cut(samples, GROUPS, 10, tmp_path)[0]
    monkeypatch.setattr(fit_data, "IN_MEMORY_BYTES", 1)
    large = cut(samples, GROUPS, 10, tmp_path)[0]
    assert isinstance(large.observations.values, np.memmap)
    np.testing.assert_array_equal(large.gather(), small.gather())


def test_the_digest_does_not_depend_on_what_is_not_read(samples: Samples) -> None:
    made = definition()
    before = digest_of(samples, GROUPS, 10)
    shifted = build_samples(made, market(entities=("AAA", "ALPHA", "中国银行"), seed=4))
    offset = int(np.flatnonzero(shifted.index.entity == 1)[0])
    assert digest_of(shifted, tuple(group + offset for group in GROUPS), 10) == before, "another entity before it"
    longer = build_samples(made, market(days=650))
    assert digest_of(longer, GROUPS, 10) == before, "newer rows"


@pytest.mark.parametrize(("place", "counts"), [("before", False), ("first", True), ("inside", True), ("last", True), ("after", False)])
def test_the_digest_depends_on_every_row_that_is_read(samples: Samples, place: str, counts: bool) -> None:
    first, last = int(samples.index.row[20]) - 9, int(samples.index.row[299])
    row = {"before": first - 1, "first": first, "inside": 150, "last": last, "after": last + 1}[place]
    values = samples.observations.values.copy()
    values[row, 0] += np.float32(1e-6)
    changed = replace(samples, observations=replace(samples.observations, values=values))
    assert (digest_of(changed, GROUPS, 10) != digest_of(samples, GROUPS, 10)) is counts


def test_the_digest_depends_on_targets_groups_order_and_context(samples: Samples) -> None:
    target = samples.targets.copy()
    target[250, 0] += np.float32(1e-6)
    relabelled = replace(samples, index=replace(samples.index, target=target))
    digests = {
        digest_of(samples, GROUPS, 10),
        digest_of(relabelled, GROUPS, 10),
        digest_of(samples, (GROUPS[1], GROUPS[0]), 10),
        digest_of(samples, (np.arange(20, 199), np.arange(230, 300)), 10),
        digest_of(samples, GROUPS, 11),
    }
    assert len(digests) == 5
