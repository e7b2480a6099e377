"""A tiny definition of the problem `classify`."""

from __future__ import annotations

from typing import Any

from tests.support import tiny_values


def class_values(**changes: Any) -> dict[str, Any]:
    """The values of a definition over two simulated series that trains in seconds; keyword arguments replace top-level keys."""
    values = tiny_values(
        name="tiny-trend",
        title="The tiny series' direction",
        problem={"kind": "classify", "label": "triple_barrier", "volatility_window": 10},
        window={"length": 10, "horizon": 3},
        candidates={"dense": {"model": "dense", "settings": {"hidden": [8], "epochs": 2, "batch": 128, "loss": "cross_entropy"}}},
        baselines={
            "class-frequency": {"model": "class_frequency"},
            "majority": {"model": "majority"},
            "logistic": {"model": "logistic", "settings": {"last": 2}},
        },
        reference="class-frequency",
        gate={"loss": "log_loss", "minimum_dates": 50},
    )
    return {**values, **changes}
