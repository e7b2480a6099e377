"""Stratified folds: rows that have no time are dealt out to parts, as many of each class to each, all rows of an entity to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finflow.models.samples import Int64, SampleIndex
from finflow.pipelines.core.manifests import Dealt, Fold

if TYPE_CHECKING:
    from finflow.pipelines.settings.parts import StratifiedFolds


def stratified_folds(settings: StratifiedFolds, seed: int) -> tuple[Fold, ...]:
    """Every part of every repeat, as folds `r1p1`, `r1p2` ..."""
    return tuple(
        Fold(f"r{repeat + 1}p{part + 1}", "", "", "", Dealt(settings.parts, part, repeat, seed, settings.validation))
        for repeat in range(settings.repeats)
        for part in range(settings.parts)
    )


def deal(dealt: Dealt, index: SampleIndex) -> tuple[Int64, Int64, Int64]:
    """Positions (ascending) of the train, validation and test samples, among the labelled ones.

    Entities are shuffled within each class (an entity's is its last class by number) and dealt out in turn, so that the classes' shares
    differ between parts by at most one entity. Every so many of those that are not tested are in the validation part.

    scikit-learn's StratifiedKFold balances as well, but deals otherwise from the same seed, and knows neither entities nor a validation
    part (StratifiedGroupKFold knows entities, and balances only about): the folds of every evaluation made so far would be others.
    """
    labelled = np.flatnonzero(index.labelled)
    entities, member = np.unique(index.entity[labelled], return_inverse=True)
    label = np.full(len(entities), -np.inf)
    np.maximum.at(label, member, index.target[labelled, 0].astype(np.float64))
    shuffled = np.random.default_rng([dealt.seed, dealt.repeat]).permutation(len(entities))
    order = shuffled[np.argsort(label[shuffled], kind="stable")]
    part = np.empty(len(entities), dtype=np.int64)
    part[order] = np.arange(len(entities)) % dealt.parts
    tested = part == dealt.part
    validated = np.zeros(len(entities), dtype=bool)
    rest = order[~tested[order]]
    validated[rest] = np.diff(np.floor(np.arange(len(rest) + 1) * dealt.validation)) > 0
    return tuple(labelled[chosen[member]] for chosen in (~tested & ~validated, validated, tested))  # type: ignore[return-value]
