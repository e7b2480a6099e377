"""Whether generated samples help a network on a fold: the generator, pairs of trainings, and what the validation part says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from finflow.models.augmentation import Augmentation, AugmentationVerdict, judge
from finflow.models.errors import FitFailure
from finflow.models.samples import Float64, Int64, SampleIndex

if TYPE_CHECKING:
    from finflow.models.networks.modules.forecaster import Forecaster
    from finflow.models.networks.modules.training import Part
    from finflow.models.networks.modules.window_generator import Source

#: Blocks of dates that the validation part is divided into, at most.
BLOCKS = 8
#: Validation samples drawn at a time.
DRAWN = 1024


def try_augmentation(
    settings: Augmentation,
    make: Callable[[], Source],
    train: Callable[[int, Source | None], Forecaster],
    validation: Part,
    index: SampleIndex,
) -> tuple[Source | None, AugmentationVerdict]:
    """The generator, if its samples help, and the verdict. A generator or a training that fails is a reason to do without.

    The seeds of the trial are its own, so every fit of a fold, whatever its seed, comes to the same verdict.

    Args:
        make: fits the generator on the training part.
        train: trains a network from a seed, with samples of that source or without.
        validation, index: the validation part, and its samples' index.
    """
    blocks = date_blocks(index)
    try:
        source = make()
        pairs = [(train(seed, None), train(seed, source)) for seed in range(settings.seeds)]
    except FitFailure as failure:
        return None, AugmentationVerdict(False, f"the trial failed: {failure}")
    losses = [np.array([block_losses(pair[side], validation, blocks) for pair in pairs]) for side in (0, 1)]
    verdict = judge(losses[0], losses[1], np.array([len(block) for block in blocks]), settings.level)
    return (source if verdict.kept else None), verdict


def date_blocks(index: SampleIndex) -> list[Int64]:
    """Positions of the samples in each block of neighbouring dates; a block spans two labels at least, so that few labels cross its end."""
    dates, place = np.unique(index.time, return_inverse=True)
    span = int((np.searchsorted(dates, index.label_end, side="right") - 1 - place).max())
    count = int(np.clip(len(dates) // (2 * max(span, 1)), 1, BLOCKS))
    block = np.arange(len(dates)) * count // len(dates)
    return [np.flatnonzero(block[place] == number) for number in range(count)]


def block_losses(forecaster: Forecaster, part: Part, blocks: list[Int64]) -> Float64:
    """float64, [blocks]: the mean loss over each block's samples."""
    import torch

    losses = []
    with torch.inference_mode():
        for block in blocks:
            total = 0.0
            for chosen in np.array_split(block, -(-len(block) // DRAWN)):
                output = forecaster(torch.from_numpy(part.batches.draw(chosen)))
                total += float(forecaster.loss(output, torch.from_numpy(part.targets[chosen]))) * len(chosen)
            losses.append(total / len(block))
    return np.array(losses)
