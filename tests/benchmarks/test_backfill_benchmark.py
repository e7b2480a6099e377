"""A backfill of 250 days and 500 simulated symbols against the bare read, window gather, forward pass and write that it needs.

Bare is: the clean rows read once, the tensor of features built once, every window gathered and put through the network, quantiles of the
price, and the finished rows written in one commit. The backfill does that and more: it finds which date knew what, tries that dates
may share a pass, digests every window, marks what is in-sample, looks for rows that are there, says what changed, and keeps the ledger.
Start-up (imports, the first calendar, loading the version) is left out of both.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from finflow.models.networks.network import PREDICTION_ROWS
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import backfill_result, forget, plan_backfill, run_chunk
from finflow.pipelines.core.calendars import published_at, sessions
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.samples.as_known import view_as_known
from finflow.pipelines.samples.windows import build_samples
from tests.benchmarks.figures import record
from tests.benchmarks.many_bars import many_bars
from tests.benchmarks.serving import fitted
from tests.support.pipelines.serving_support import Market, Registry, Served

SYMBOLS, DAYS = 500, 250


def bare(context: Context, clean: Any, model: Any, start: pd.Timestamp, rows: pd.DataFrame) -> tuple[dict[str, float], Any]:
    """Seconds by part, and the medians of the price: [windows, horizon]."""
    seconds, moment = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal moment
        seconds[name], moment = time.perf_counter() - moment, time.perf_counter()

    view = view_as_known(context, clean, pd.Timestamp(clean.as_of), pd.Timestamp(clean.as_of).tz_localize(None).normalize())
    lap("read")
    samples = build_samples(context.definition, view)
    samples = samples.take(np.flatnonzero(samples.index.time >= start.to_datetime64()))
    scaled = torch.from_numpy(model.scaling.features(np.ascontiguousarray(samples.observations.values[:, model.task.feature_positions])))
    lap("windows")
    found = []
    steps, last = torch.arange(1 - samples.length, 1), torch.from_numpy(samples.index.row)
    with torch.inference_mode():
        for begin in range(0, len(last), PREDICTION_ROWS):
            windows = scaled[last[begin : begin + PREDICTION_ROWS, None] + steps]
            found.append(model.forecaster.quantiles(model.forecaster(windows)))
    answers = model.scaling.answers(torch.cat(found).numpy())
    prices = samples.index.origin[:, None, None] * np.exp(answers.astype(np.float64))
    lap("forward")
    context.lake.append("bare/rows", rows)
    lap("write")
    return seconds, prices[:, :, model.task.levels.index(0.5)]


@pytest.mark.benchmark
def test_a_year_of_five_hundred_symbols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of three rounds of each, in turn: other work on the machine slows a round, nothing makes one faster."""
    definition = load_definition("index-price")
    days = sessions("XNYS", "2015-06-01", "2018-12-31")[-DAYS - definition.window.length - 40 :]
    frame = many_bars(SYMBOLS, days).assign(known_at=np.tile(published_at("XNYS", 60, days), SYMBOLS))
    model: Any = fitted(definition, build_samples(definition, frame), "dense")
    registry = Registry(definition)
    registry.install(monkeypatch)
    registry.promote(1, f"{days[-DAYS - 1]:%Y-%m-%d}")
    monkeypatch.setattr(registry, "load", lambda version: Served(version, model.task, model))
    rounds = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in range(3):
            market = Market(Home(tmp_path, str(tmp_path / f"lake-{number}"), "", None), definition, frame)
            market.write()
            rounds.append(one_round(market, model, f"{days[-DAYS]:%Y-%m-%d}", f"{days[-1]:%Y-%m-%d}"))
    finally:
        torch.set_num_threads(threads)
    best, parts = min(filled for filled, _, _ in rounds), min((parts for _, _, parts in rounds), key=lambda found: sum(found.values()))
    record(
        f"backfill of {DAYS} days x {SYMBOLS} symbols, dense",
        ratio=best / sum(parts.values()),
        at_most=1.5,
        seconds=best,
        planning_seconds=min(planned for _, planned, _ in rounds),
        bare_seconds=sum(parts.values()),
        rows=SYMBOLS * DAYS * definition.window.horizon,
        **{f"bare_{name}_seconds": value for name, value in parts.items()},
    )


def one_round(market: Market, model: Any, start: str, end: str) -> tuple[float, float, dict[str, float]]:
    """Seconds of a backfill, of its planning, and of the bare parts."""
    definition, clean = market.definition, market.clean(end)
    began = time.perf_counter()
    plan = plan_backfill(market.context, BackfillRequest(start, end), clean=clean)
    planned = time.perf_counter() - began
    result = backfill_result(plan, [run_chunk(market.context, plan, dates) for dates in plan.chunks()])
    seconds = time.perf_counter() - began
    forget()
    rows = market.lake.read(f"predictions/{definition.name}").sort_values(["entity", "time", "horizon"], ignore_index=True)
    parts, medians = bare(market.context, clean, model, pd.Timestamp(start), rows)
    assert result.counts == {"done": DAYS}
    assert result.written == len(rows) == SYMBOLS * DAYS * definition.window.horizon
    np.testing.assert_allclose(rows["q50"].to_numpy(), medians.ravel(), rtol=1e-4)
    return seconds, planned, parts
