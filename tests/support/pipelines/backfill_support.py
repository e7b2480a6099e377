"""What the tests of backfills share: a small market whose versions answer from every bit of a window, and how to run over it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.result import BackfillResult
from finflow.pipelines.backfill.run import backfill
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest
from tests.support.pipelines.serving_support import Market, Registry, make_market

START, END = "2017-06-01", "2017-06-30"
DATES = [f"{day:%Y-%m-%d}" for day in sessions("XNYS", START, END)]


@pytest.fixture
def market(home: Home) -> Market:
    return make_market(home)


@pytest.fixture
def registry(market: Market, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return registry_of(market, monkeypatch)


def registry_of(market: Market, monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry(market.definition)
    registry.install(monkeypatch)
    registry.promote(1, "2017-05-31")
    return registry


def run(market: Market, start: str = START, end: str = END, clean: CleanManifest | None = None, **options: Any) -> BackfillResult:
    return backfill(market.context, BackfillRequest(start, end, **options), clean or market.clean(end))


def statuses(result: BackfillResult) -> dict[str, tuple[str, str]]:
    return {one.date: (one.before, one.after) for one in result.dates}


def ran(result: BackfillResult) -> list[str]:
    """The dates that a run answered or failed at."""
    return [one.date for one in result.dates if one.in_sample is not None]


def rows_of(market: Market) -> pd.DataFrame:
    rows = market.lake.read(f"predictions/{market.definition.name}").drop(columns=["scored_at", "backfill_id"])
    return rows.sort_values(["time", "entity", "horizon", "version", "input_digest", "restated"]).reset_index(drop=True)
