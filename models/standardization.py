"""When a column of numbers varies at all, and by what it is then multiplied."""

from __future__ import annotations


def inverse_scale(spread: float, location: float) -> float:
    """1 / spread; nought for a column that does not vary.

    Rounding leaves a constant column a spread of about 1e-16 of its level; float32 holds seven digits of it.
    """
    return 1 / spread if spread > 1e-7 * abs(location) and spread > 1e-30 else 0.0
