"""Which samples of a batch are one device's, where several train together."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Rows = TypeVar("Rows", np.ndarray, Tensor)


class Share:
    """Every `world`-th sample of a batch, from the `rank`-th on.

    A device without a sample (a batch of fewer than there are devices) takes the first one with no weight, so that every device takes
    part in every exchange of gradients.

    Attributes:
        count: samples of the batch at hand, over all devices; to be set for every batch.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world, self.count = rank, world, 0

    @property
    def own(self) -> int:
        """Samples of the batch at hand that count here."""
        return len(range(self.rank, self.count, self.world))

    @property
    def weight(self) -> float:
        """What this device's mean loss is to be multiplied by, so that the mean over devices of its gradients is the batch's gradient."""
        return self.own * self.world / self.count

    def of(self, batch: Rows) -> Rows:
        """This device's rows of a whole batch."""
        return batch[self.rank :: self.world] if self.own else batch[:1]
