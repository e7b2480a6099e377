"""Scoring 500,000 windows against the bare forward pass over the same windows in the same batches.

Scoring is windows to prediction rows: gather, forward, quantiles of the price, target dates, input digests, in-sample marks. Writing
them to the lake once (five rows a window, each with a digest) is timed beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.networks.network import PREDICTION_ROWS, Network
from finflow.models.samples import Samples
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.samples.as_known import without_future
from finflow.pipelines.samples.windows import build_samples
from finflow.pipelines.scoring.rows import SLICE, prediction_rows
from tests.benchmarks.figures import record
from tests.benchmarks.many_bars import many_bars
from tests.benchmarks.serving import fitted
from tests.support.pipelines.serving_support import Served

WINDOWS = 500_000
ENTITIES = 250


@pytest.fixture(scope="module")
def prepared() -> tuple[Definition, Samples]:
    definition = load_definition("index-price")
    frame = many_bars(ENTITIES, sessions("XNYS", "2008-01-02", "2018-12-31")[: WINDOWS // ENTITIES + 90])
    samples = without_future(definition, build_samples(definition, frame), frame)
    by_date = np.argsort(samples.index.time, kind="stable")[:WINDOWS]
    return definition, samples.take(by_date)


def bare(model: Network, values: Any, samples: Samples) -> np.ndarray:
    """Gather by index, forward, quantiles: float32, [n, outputs, levels], scaled. Nothing else."""
    import torch

    assert model.forecaster is not None
    steps = torch.arange(1 - samples.length, 1)
    rows = torch.from_numpy(samples.index.row)
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), PREDICTION_ROWS):
            windows = values[rows[start : start + PREDICTION_ROWS, None] + steps]
            found.append(model.forecaster.quantiles(model.forecaster(windows)))
    return np.asarray(torch.cat(found).numpy())


def slices(samples: Samples) -> Iterator[Samples]:
    for start in range(0, len(samples), SLICE):
        yield samples.take(np.arange(start, min(start + SLICE, len(samples))))


@pytest.mark.benchmark
@pytest.mark.parametrize("name", ["lstm", "cnn", "dense"])
def test_scoring_half_a_million_windows(name: str, prepared: tuple[Definition, Samples], home: Home, tmp_path: Path) -> None:
    import torch

    definition, samples = prepared
    model = fitted(definition, samples, name)
    context = open_context(definition, home)
    served: Any = Served(1, model.task, model)
    predictions = Predictions(Lake(str(tmp_path / "lake")), definition.name)
    assert model.scaling is not None
    scaled = model.scaling.features(np.ascontiguousarray(samples.observations.values[:, model.task.feature_positions]))
    values = torch.from_numpy(scaled)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = {"bare": 0.0, "scoring": 0.0, "writing": 0.0}
    written = 0
    try:
        for part in slices(samples):
            began = time.perf_counter()
            answers = bare(model, values, part)
            seconds["bare"] += time.perf_counter() - began

            began = time.perf_counter()
            rows = prediction_rows(
                context, served, part, trained_as_of=pd.Timestamp("2016-01-01", tz="UTC"), scored_at=pd.Timestamp.now("UTC")
            )
            scored = time.perf_counter()
            written += predictions.append_new(rows).rows
            seconds["scoring"] += scored - began
            seconds["writing"] += time.perf_counter() - scored
            median = model.scaling.answers(answers)[:, :, model.task.levels.index(0.5)].astype(np.float32)
            expected = part.index.origin[:, None] * np.exp(median.astype(np.float64))
            np.testing.assert_allclose(rows["q50"].to_numpy(), expected.ravel(), rtol=1e-4)
    finally:
        torch.set_num_threads(threads)
    assert len(samples) == WINDOWS
    assert written == WINDOWS * definition.window.horizon
    record(
        f"scoring {WINDOWS:,} windows, {name}",
        ratio=seconds["bare"] / seconds["scoring"],
        at_least=0.8,
        ratio_with_the_write=seconds["bare"] / (seconds["scoring"] + seconds["writing"]),
        windows_per_second=WINDOWS / seconds["scoring"],
        bare_windows_per_second=WINDOWS / seconds["bare"],
        rows=written,
    )
