"""A tiny definition of the problem `risk`."""

from __future__ import annotations

from typing import Any

from tests.support import tiny_values


def risk_values(**changes: Any) -> dict[str, Any]:
    """The values of a portfolio over two simulated series that trains in seconds; keyword arguments replace top-level keys."""
    source = {"kind": "simulated", "process": "garch", "entities": 2, "days": 900, "volatility": 0.01, "start": "2014-01-06", "seed": 3}
    values = tiny_values(
        name="tiny-risk",
        title="A tiny simulated portfolio",
        source=source,
        window={"length": 10, "horizon": 1},
        problem={"kind": "risk", "weights": {"S1": 0.6, "S2": 0.4}, "portfolio": "BOOK"},
        candidates={"dense": {"model": "dense", "settings": {"hidden": [8], "epochs": 2, "batch": 128}}},
        baselines={
            "historical-simulation": {"model": "historical_simulation", "settings": {"days": 250}},
            "garch-t": {"model": "garch_t", "settings": {"context": 250}},
        },
        reference="historical-simulation",
        gate={"loss": "fz0_97_5", "minimum_dates": 50, "backtests": ["kupiec", "traffic_light", "expected_shortfall"]},
    )
    return {**values, **changes}
