"""What a risk desk asks for: value at risk and expected shortfall at a few confidences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
CONFIDENCES = (0.95, 0.975, 0.99)


@dataclass(frozen=True, eq=False)
class Risks:
    """Risk measures of n samples; losses are positive (see `finflow.pipelines.statistics.risk`).

    Attributes:
        value_at_risk, expected_shortfall: float64, [n, confidences], as parts of the position's value.
    """

    confidences: tuple[float, ...]
    value_at_risk: Float64
    expected_shortfall: Float64

    def at(self, confidence: float) -> tuple[Float64, Float64]:
        """Value at risk and expected shortfall at one confidence: float64, [n] each.

        Raises:
            ValueError: it is not among `confidences`.
        """
        if confidence not in self.confidences:
            raise ValueError(f"no risk at {confidence:g}: there are {', '.join(f'{one:g}' for one in self.confidences)}")
        place = self.confidences.index(confidence)
        return self.value_at_risk[:, place], self.expected_shortfall[:, place]


def check_confidences(confidences: Sequence[float]) -> tuple[float, ...]:
    """Ascending, and above one half.

    Raises:
        ValueError: they are not.
    """
    levels = tuple(float(one) for one in confidences)
    if not levels or list(levels) != sorted(set(levels)) or levels[0] <= 0.5 or levels[-1] >= 1:
        raise ValueError(f"confidences {list(levels)} must ascend and lie between 0.5 and 1 (0.99: one day in a hundred is worse)")
    return levels
