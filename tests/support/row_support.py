"""A small book of loans for tests: numbers that may be missing, categories, an outcome known a while later, a protected column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NUMBERS = ("amount", "income", "age")
TEXTS = ("purpose", "region", "sex")


def loan_rows(rows: int = 3000, seed: int = 3, days: int = 730) -> pd.DataFrame:
    """Loans in time order; `chance` is the probability that each outcome was drawn by."""
    random = np.random.default_rng(seed)
    time = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(random.integers(0, days, rows)), unit="D")
    amount, income, age = random.lognormal(1, 0.5, rows), random.lognormal(1, 0.4, rows), random.uniform(18, 80, rows)
    purpose = random.choice(["car", "home", "travel", "business"], rows, p=[0.4, 0.3, 0.2, 0.1])
    score = 1.2 * np.log(amount / income) + 0.8 * (purpose == "travel") - 0.9 * (purpose == "home") - 0.02 * (age - 45) - 1.0
    chance = 1 / (1 + np.exp(-score))
    frame = pd.DataFrame(
        {"entity": [f"L{number:06d}" for number in range(rows)], "time": time, "amount": amount, "income": income, "age": age}
    )
    frame["purpose"], frame["region"] = purpose, random.choice(["north", "south"], rows)
    frame["sex"], frame["defaulted"] = random.choice(["f", "m"], rows), (random.random(rows) < chance).astype(float)
    frame.loc[random.random(rows) < 0.1, "income"] = np.nan
    frame.loc[random.random(rows) < 0.05, "purpose"] = None
    return frame.assign(chance=chance)


def write_loans(path: Path, frame: pd.DataFrame) -> Path:
    frame.drop(columns="chance").assign(time=frame["time"].dt.strftime("%Y-%m-%d")).to_csv(path, index=False)
    return path


def loan_values(path: Path, **changes: Any) -> dict[str, Any]:
    """The values of a definition over the file of `write_loans`; keyword arguments replace top-level keys."""
    values: dict[str, Any] = {
        "name": "loans",
        "simulated": True,
        "source": {
            "kind": "csv",
            "path": str(path),
            "columns": {name: name for name in (*NUMBERS, *TEXTS, "defaulted")},
            "text": list(TEXTS),
        },
        "contract": {"kind": "table"},
        "features": [
            *({"kind": "value", "column": name, "name": name} for name in NUMBERS),
            *({"kind": "category", "column": name, "name": name} for name in ("purpose", "region")),
        ],
        "window": {"length": 1, "horizon": 1},
        "problem": {
            "kind": "outcome",
            "column": "defaulted",
            "positive": ["1"],
            "classes": ["good", "bad"],
            "known_after_days": 60,
            "costs": {"false_positive": 1, "false_negative": 5},
            "protected": ["sex"],
            "reasons": 2,
        },
        "folds": {"first_test": "2021-01-01", "months": 6, "validation_months": 4},
        "candidates": {"boosting": {"model": "boosting", "settings": {"rounds": 60}}},
        "baselines": {"base-rate": {"model": "class_frequency"}, "logistic": {"model": "tabular_logistic"}},
        "reference": "base-rate",
        "seeds": 1,
        "gate": {"loss": "log_loss", "minimum_dates": 50},
    }
    return {**values, **changes}
