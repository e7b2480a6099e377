"""Scoring and backfill know nothing of time series: applicants, each a row of its own, are served the same way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from finflow.models.samples import Samples
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import backfill
from finflow.pipelines.core.calendars import published_at
from finflow.pipelines.core.errors import NotEnoughHistoryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest, RawManifest
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.problems import PROBLEMS
from finflow.pipelines.scoring.score import score_clean
from tests.support import tiny_values
from tests.support.pipelines.default_problem import Default
from tests.support.pipelines.serving_support import Market, Registry, Served


class Logistic(Model):
    Settings = ModelSettings
    family = "test"

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        return FitReport()

    def predict(self, samples: Samples) -> Prediction:
        odds = np.exp(samples.gather()[:, -1, 0])
        return Prediction("probabilities", np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1).astype(np.float32))

    def save(self, folder: Any) -> None: ...

    @classmethod
    def load(cls, folder: Any, settings: ModelSettings, task: Task) -> Logistic:
        return cls(settings, task)


@pytest.fixture
def market(home: Home, monkeypatch: pytest.MonkeyPatch) -> Market:
    """Forty applicants on ten dates, a weekend among them; each an entity with one row."""
    monkeypatch.setitem(PROBLEMS, "default", Default)
    days = pd.date_range("2020-03-02", periods=10).as_unit("us")
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"entity": pd.array([f"applicant-{number:02d}" for number in range(40)], dtype="str"), "time": np.repeat(days, 4)})
    frame["income"], frame["defaulted"] = random.normal(size=40), (random.random(40) < 0.2).astype(float)
    frame["known_at"] = published_at(None, 60, frame["time"])
    values = tiny_values(
        calendar=None,
        contract={"kind": "table", "minimum_history": 1},
        features=[{"kind": "value", "column": "income", "name": "income"}],
        window={"length": 1, "horizon": 1},
        problem={"kind": "default"},
    )
    market = Market(home, parse_definition(values), frame)
    market.write()
    registry = Registry(market.definition)
    registry.promote(1, "2020-03-04")
    task = Default(None, market.definition.window).task(("income",), ("income",))
    monkeypatch.setattr(registry, "load", lambda version: Served(version, task, Logistic(ModelSettings(), task)))
    registry.install(monkeypatch)
    return market


def batch(market: Market, date: str) -> CleanManifest:
    as_of = published_at(None, 60, [pd.Timestamp(date)])[0]
    raw = RawManifest("raw/tiny", 0, 0, 40, "", "")
    return CleanManifest("clean/tiny", 0, as_of.isoformat(), "digest", 40, 40, 0, (), "", raw)


def test_the_rows_of_a_date_are_scored_and_every_date_with_data_is_filled(market: Market) -> None:
    scored = score_clean(market.context, batch(market, "2020-03-07"))
    assert (scored.rows, scored.written, scored.in_sample) == (4, 4, 0)
    known = score_clean(market.context, batch(market, "2020-03-04"))
    assert known.in_sample == 4  # their labels were known when the version was trained
    result = backfill(market.context, BackfillRequest("2020-03-01", "2020-03-31"), clean=batch(market, "2020-03-11"))
    assert [one.date for one in result.dates] == [f"2020-03-{day:02d}" for day in range(2, 12)]
    assert result.written == 40 - 8
    rows = market.lake.read("predictions/tiny")
    assert len(rows) == 40
    assert np.allclose(rows["p_repaid"] + rows["p_defaulted"], 1)
    assert set(rows.loc[rows["in_sample"], "time"].dt.day) == {2, 3, 4}
    again = backfill(market.context, BackfillRequest("2020-03-01", "2020-03-31"), clean=batch(market, "2020-03-11"))
    assert again.written == 0


def test_a_date_without_rows_is_no_sample(market: Market) -> None:
    with pytest.raises(NotEnoughHistoryError, match="nothing was known by 2020-03-01"):
        score_clean(market.context, batch(market, "2020-02-29"))
