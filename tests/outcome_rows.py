"""Loans whose outcome is known a month later: a small table of rows, and a definition over it that trains in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def write_loans(path: Path, rows: int = 3000, seed: int = 5, *, drift: float = 1.0) -> Path:
    """A CSV of loans over two years, several a day. Risk falls with income and differs by purpose; `sex` bears on income alone; income
    falls by `drift` standard deviations over the two years."""
    random = np.random.default_rng(seed)
    day = np.sort(random.integers(0, 730, rows))
    sex = random.choice(["f", "m"], rows, p=[0.4, 0.6])
    income = random.normal(0, 1, rows) - drift * day / 730 + 0.3 * (sex == "m")
    purpose = random.choice(["car", "house", "other"], rows, p=[0.5, 0.3, 0.2])
    logit = -1.5 - 1.2 * income + 0.8 * (purpose == "car")
    frame = pd.DataFrame(
        {
            "loan": [f"L{number:06d}" for number in range(rows)],
            "granted": (pd.Timestamp("2020-01-01") + pd.to_timedelta(day, unit="D")).strftime("%Y-%m-%d"),
            "income": income,
            "amount": random.lognormal(0, 0.5, rows),
            "purpose": purpose,
            "sex": sex,
            "defaulted": (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )
    frame.to_csv(path, index=False)
    return path


def loan_values(path: Path, problem: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The values of a definition over the file of `write_loans`; `problem` adds to the problem's, others replace top-level keys."""
    columns = {name: name for name in ("income", "amount", "purpose", "sex", "defaulted")}
    values: dict[str, Any] = {
        "name": "loans",
        "simulated": True,
        "source": {
            "kind": "csv",
            "path": str(path),
            "columns": {"entity": "loan", "time": "granted", **columns},
            "text": ["purpose", "sex"],
        },
        "contract": {"kind": "table"},
        "features": [{"kind": "value", "column": "income"}, {"kind": "value", "column": "amount"}],
        "window": {"length": 1, "horizon": 1, "maximum_gap": 0},
        "problem": {
            "kind": "outcome",
            "column": "defaulted",
            "positive": ["1"],
            "classes": ["good", "bad"],
            "known_after_days": 30,
            "stake": "amount",
            "costs": {"false_positive": 1, "false_negative": 5},
            "top_a_day": [1],
            "protected": ["sex"],
            **(problem or {}),
        },
        "folds": {"first_test": "2020-07-01", "months": 6, "validation_months": 2},
        "candidates": {"logistic": {"model": "logistic"}},
        "baselines": {"class-frequency": {"model": "class_frequency"}},
        "reference": "class-frequency",
        "seeds": 1,
        "gate": {"loss": "log_loss", "minimum_dates": 50},
    }
    return {**values, **changes}
