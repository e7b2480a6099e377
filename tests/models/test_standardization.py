"""When a column counts as one that varies."""

from __future__ import annotations

import numpy as np
import pytest

from finflow.models.standardization import inverse_scale


@pytest.mark.parametrize(
    ("spread", "location", "inverse"),
    [(4.0, 0.0, 0.25), (2e-7, 1.0, 5e6), (1e-7, 1.0, 0.0), (1e-31, 0.0, 0.0), (0.0, 0.0, 0.0), (np.nan, 1.0, 0.0), (2.0, -1e8, 0.0)],
)
def test_a_column_varies_beyond_what_rounding_leaves(spread: float, location: float, inverse: float) -> None:
    assert inverse_scale(spread, location) == inverse
