"""The models of the tests of outcomes."""

from __future__ import annotations

MODELS = {
    "candidates": {"good": {"model": "class_frequency"}, "broken": {"model": "class_frequency", "settings": {}}},
    "baselines": {"base-rate": {"model": "class_frequency"}, "weak": {"model": "majority"}},
    "reference": "base-rate",
    "features": [
        {"kind": "value", "column": "income", "name": "income"},
        {"kind": "value", "column": "amount", "name": "amount"},
        {"kind": "category", "column": "purpose", "name": "purpose"},
    ],
    "gate": {"loss": "log_loss", "minimum_dates": 50, "minimum_effect": 0.0},
}
