"""Twelve symbols, one that begins late, one that ends early, one with a gap: from windows to the ledger of a backfill."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import backfill
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import PredictionResult
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.fits.fits import carry_out_all
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.ledger import Ledger
from finflow.pipelines.samples.features import feature_reach
from finflow.pipelines.samples.folds import select
from finflow.pipelines.samples.windows import build_samples, open_samples, store_samples
from finflow.pipelines.scoring.score import score_clean
from finflow.pipelines.tracking.store import prepare_store
from finflow.pipelines.training.conclusion import conclude_training, evaluate_training
from finflow.pipelines.training.plan import plan_training
from tests.support.pipelines.uneven_panel import check_samples, expected_symbols, panel_values

HORIZON = 2


@pytest.fixture(scope="module")
def made() -> Definition:
    folds = {"first_test": "2016-07-01", "months": 18, "validation_months": 3, "embargo": 2, "count": 1}
    return parse_definition(panel_values(12, 700, 1, folds=folds))


@pytest.fixture(scope="module")
def rows(made: Definition) -> pd.DataFrame:
    frame: pd.DataFrame = made.source.read()
    return frame


def test_no_window_crosses_a_symbol_or_a_gap(made: Definition, rows: pd.DataFrame) -> None:
    samples = build_samples(made, rows)
    check_samples(made, rows, samples)
    late = samples.index.time[samples.index.entity == 0].min()
    own = rows.loc[rows["entity"] == "S01", "time"]
    assert own.min() > rows["time"].min()
    assert late == own.iloc[made.window.length + feature_reach(made) - 1].to_datetime64()
    ended = samples.index.time[samples.index.entity == 1].max()
    assert ended == rows.loc[rows["entity"] == "S02", "time"].max().to_datetime64() < rows["time"].max().to_datetime64()


def test_a_window_that_may_cross_short_gaps_still_crosses_no_long_one(made: Definition, rows: pd.DataFrame) -> None:
    window = made.window.model_copy(update={"maximum_gap": 20})
    lax = build_samples(made.model_copy(update={"window": window}), rows)
    strict = build_samples(made, rows)
    gained = len(lax) - len(strict)
    assert gained == made.window.length + feature_reach(made) - 1, "those whose window, or what its features look back, holds the gap"


def test_trained_scored_and_backfilled(made: Definition, rows: pd.DataFrame, home: Home) -> None:
    prepare_store(home)
    raw = ingest(open_context(made, home))
    clean = validate(open_context(made, home), raw, resolve_as_of(open_context(made, home), None))
    plan = plan_training(open_context(made, home), store_samples(open_context(made, home), clean))
    samples = open_samples(plan.samples.folder)
    chosen = select(plan.folds[-1], samples.index, made.folds.embargo)
    assert set(samples.index.entity[chosen.train]) == set(range(12))
    results = carry_out_all(plan.specs, home)
    fits = [result.fit for result in results if isinstance(result, PredictionResult)]
    assert len(fits) == len(plan.specs) == 4
    evaluation, failed = evaluate_training(open_context(made, home), plan, results)
    assert failed == {}
    conclude_training(open_context(made, home), plan, evaluation, failed, fits)

    # the ended symbol has test samples up to its end, and none later
    ended = rows.loc[rows["entity"] == "S02", "time"].max()
    tested = samples.index.take(chosen.test)
    assert tested.label_end[tested.entity == 1].max() <= ended.to_datetime64() < tested.label_end.max()
    assert set(tested.entity.tolist()) == set(range(12))

    scored = score_clean(open_context(made, home), clean)
    last = f"{rows['time'].max():%Y-%m-%d}"
    assert (scored.date, scored.rows) == (last, 11 * HORIZON)

    gap = gap_of(rows)
    for first, final in (spread(ended), spread(gap[0]), spread(gap[1])):
        result = backfill(open_context(made, home), BackfillRequest(first, final))
        assert set(result.counts) == {"done"}
        ledger = Ledger(Lake(home.lake), made.name).read(first, final, "champion", None)
        expected = {date: expected_symbols(made, rows, date) for date in ledger}
        assert {date: row.rows for date, row in ledger.items()} == {date: len(names) * HORIZON for date, names in expected.items()}
        assert {row.status for row in ledger.values()} == {"done"}
        kept = Lake(home.lake).read(f"predictions/{made.name}")
        for date, names in expected.items():
            own = kept[kept["time"] == pd.Timestamp(date)]
            assert set(own["entity"]) == names, date
            assert np.isfinite(own["q50"]).all()
    kept = Lake(home.lake).read(f"predictions/{made.name}")
    assert kept.loc[kept["entity"] == "S02", "time"].max() == ended
    assert len(expected_symbols(made, rows, last)) == 11


def gap_of(rows: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The last session before the third symbol's gap, and the first behind it."""
    own = rows.loc[rows["entity"] == "S03", "time"].sort_values(ignore_index=True)
    behind = int(own.diff().fillna(pd.Timedelta(0)).to_numpy().argmax())
    return own[behind - 1], own[behind]


def spread(date: pd.Timestamp) -> tuple[str, str]:
    """A range of dates around one: a week before, a month behind."""
    return f"{date - pd.Timedelta(days=7):%Y-%m-%d}", f"{date + pd.Timedelta(days=31):%Y-%m-%d}"
