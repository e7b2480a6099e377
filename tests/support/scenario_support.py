"""A tiny definition of the problem `generate`."""

from __future__ import annotations

from typing import Any

from tests.support import tiny_values
from tests.support.models.path_cases import TINY_GAN


def scenario_values(**changes: Any) -> dict[str, Any]:
    """The values of a definition over two simulated series that trains in seconds; keyword arguments replace top-level keys."""
    values = tiny_values(
        name="tiny-scenarios",
        title="The tiny series' paths",
        problem={"kind": "generate", "paths": 100, "confidences": [0.95], "stressed_share": 0.25},
        features=[{"kind": "log_return", "column": "close", "name": "log_return"}],
        window={"length": 30, "horizon": 8},
        folds={"first_test": "2016-07-01", "months": 6, "validation_months": 6, "embargo": 2},
        candidates={"gan": {"model": "scenario_gan", "settings": {**TINY_GAN, "segment": 30, "context": 250}}},
        baselines={
            "bootstrap": {"model": "stationary_bootstrap", "settings": {"block": 20.0, "context": 250}},
            "gjr-garch": {"model": "garch_paths", "settings": {"context": 100}},
        },
        reference="bootstrap",
        gate={"loss": "path_crps", "minimum_dates": 20, "new_dates": 30, "backtests": ["diversity"]},
    )
    return {**values, **changes}
