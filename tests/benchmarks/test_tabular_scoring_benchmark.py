"""Scoring a million rows by the dense network of rows against the bare forward pass over rows that are encoded already.

Scoring is raw rows to calibrated probabilities: scaling, places of categories, forward, calibration.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from finflow.models.base import Hardware
from finflow.models.networks.network import PREDICTION_ROWS
from finflow.models.reproducible import one_thread_count
from finflow.models.row_networks.row_batches import row_batches
from finflow.models.row_networks.row_network import RowNetwork
from finflow.models.samples import Samples
from finflow.models.zoo import model_class
from tests.benchmarks.figures import record
from tests.support.models.row_network_cases import rows

ROWS, SLICE = 1_000_000, 50_000


def bare(model: RowNetwork, part: Samples) -> tuple[np.ndarray, float]:
    """Log odds of the forward pass alone, and the seconds it took."""
    import torch

    assert model.encoding is not None
    assert model.forecaster is not None
    values = torch.from_numpy(row_batches(part, model.encoding, model.task.feature_positions, 1).prepared)[:, None]
    began = time.perf_counter()
    with torch.inference_mode():
        found = torch.cat([model.forecaster(values[start : start + PREDICTION_ROWS]) for start in range(0, len(values), PREDICTION_ROWS)])
    return found[:, 0].numpy(), time.perf_counter() - began


@pytest.mark.benchmark
@pytest.mark.parametrize("recipe", ["realmlp", "textbook"])
def test_scoring_a_million_rows(recipe: str) -> None:
    samples, task = rows(ROWS)
    kind = model_class("tabular_dense")
    model = kind(kind.Settings.model_validate({"recipe": recipe, "epochs": 1}), task)
    assert isinstance(model, RowNetwork)
    model.fit(samples.take(np.arange(4_000)), samples.take(np.arange(4_000, 6_000)), seed=1, hardware=Hardware())
    seconds = {"bare": 0.0, "scoring": 0.0}
    with one_thread_count(1):
        for start in range(0, ROWS, SLICE):
            part = samples.take(np.arange(start, start + SLICE))
            odds, taken = bare(model, part)
            seconds["bare"] += taken
            began = time.perf_counter()
            answers = model.predict(part).values
            seconds["scoring"] += time.perf_counter() - began
            assert np.corrcoef(odds, np.log(answers[:, 1] / answers[:, 0]))[0, 1] > 0.999
    record(
        f"scoring a million rows, tabular_dense {recipe}",
        ratio=seconds["bare"] / seconds["scoring"],
        **({"at_least": 0.8} if recipe == "realmlp" else {}),
        rows_per_second=ROWS / seconds["scoring"],
        bare_rows_per_second=ROWS / seconds["bare"],
    )
