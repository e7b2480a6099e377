"""Every shipped definition of another market through the whole pipeline: its own recipes for an epoch, on data of its shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.loading import DEFINITIONS
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.settings.yaml_text import read_yaml
from tests.support import write_definition
from tests.support.pipelines.sources.yahoo_answers import answer, recorded


def write_rates(path: Path) -> Path:
    """Rates as the European Central Bank lays them out: a column a currency, newest day first, N/A, one that vanishes, one that is late."""
    days = pd.bdate_range("2017-01-02", "2021-09-30")
    random = np.random.default_rng(0)
    columns = {}
    for number, name in enumerate(("USD", "JPY", "RUB", "SEK", "DKK")):
        columns[name] = (10.0**number * np.exp(np.cumsum(random.normal(0, 0.005, len(days))))).round(4).astype(str)
    columns["RUB"][days > "2021-03-01"] = "N/A"
    columns["SEK"][days < "2018-06-01"] = "N/A"
    frame = pd.DataFrame({"Date": days.strftime("%Y-%m-%d"), **columns, "": ""})
    frame[::-1].to_csv(path, index=False)
    return path


def rates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINFLOW_FX_RATES", str(write_rates(folder / "rates.csv")))


def coins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    walks = 1000 * np.exp(np.cumsum(random.normal(0, 0.01, (2, 1400)), axis=1))
    walks[0, 500] = math.nan
    recorded(monkeypatch, {symbol: answer("2017-12-01", list(walk)) for symbol, walk in zip(("BTC-USD", "ETH-USD"), walks, strict=True)})


def packaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is needed."""


@dataclass(frozen=True)
class Market:
    """A shipped definition, and what is asked of it.

    Attributes:
        as_of: of the training, within the first test period.
        scored: the date that is predicted from then, with the entities that are there and the first and the last date predicted.
    """

    name: str
    prepare: Callable[[Path, pytest.MonkeyPatch], None]
    as_of: str
    scored: str
    entities: tuple[str, ...]
    targets: tuple[str, str]


MARKETS = (
    Market("policy-rate", packaged, "1989-12-31", "1990-09-30", ("US",), ("1990-12-31", "1991-09-30")),
    Market("fx-rates", rates, "2021-06-30", "2021-09-29", ("JPY", "SEK", "USD"), ("2021-09-30", "2021-10-06")),
    Market("crypto-price", coins, "2021-06-26", "2021-09-25", ("BTC", "ETH"), ("2021-09-26", "2021-09-30")),
)
MORE = (
    Market("commodity-price", packaged, "2014-06-30", "2014-11-26", ("WTI",), ("2014-11-28", "2014-12-04")),
    Market("commodity-volatility", packaged, "2014-06-30", "2014-11-26", ("WTI",), ("2014-11-28", "2014-12-04")),
    Market("bond-yield", packaged, "1993-12-01", "1994-11-01", ("AAA", "BAA"), ("1994-12-01", "1995-02-01")),
    Market("fx-volatility", rates, "2021-06-30", "2021-09-29", ("JPY", "SEK", "USD"), ("2021-09-30", "2021-10-06")),
)


def quick(name: str) -> dict[str, Any]:
    """The shipped definition with a seed and an epoch, and few dates wanted."""
    values = read_yaml(DEFINITIONS / f"{name}.yaml")
    for recipe in values["candidates"].values():
        recipe["settings"] |= {"epochs": 1}
    values["gate"] |= {"minimum_dates": 20}
    return {**values, "seeds": 1}


@pytest.mark.parametrize(
    "market",
    [*MARKETS, *(pytest.param(market, marks=[pytest.mark.slow, pytest.mark.nightly]) for market in MORE)],
    ids=lambda market: market.name,
)
def test_a_market_from_source_to_backfill(
    market: Market, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str
) -> None:
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    from finflow.flows.backfill import backfill_flow
    from finflow.flows.score import score_flow
    from finflow.flows.train import train_flow

    market.prepare(tmp_path, monkeypatch)
    values = quick(market.name)
    path = str(write_definition(tmp_path / "market.yaml", values))
    trained = train_flow(path, market.as_of)
    assert {row["candidate"] for row in trained["leaderboard"]} == {*values["candidates"], *values["baselines"]}
    assert trained["decision"]["champion"]["version"] == 1
    lake = Lake(home.lake)
    assert lake.read(f"quarantine/{market.name}").empty, "no good row is refused"

    scored = score_flow(path, market.scored)
    horizons = 2 if values["problem"]["kind"] == "volatility" else values["window"]["horizon"]
    assert (scored["written"], scored["in_sample"]) == (horizons * len(market.entities), 0)
    rows = lake.read(f"predictions/{market.name}")
    assert tuple(sorted(rows["entity"].unique())) == market.entities, "who has vanished is not predicted"
    dates = rows["target_time"].dt.strftime("%Y-%m-%d")
    assert (dates.min(), dates.max()) == market.targets
    filled = backfill_flow(path, market.as_of, market.scored)
    assert {row["after"] for row in filled["dates"]} == {"done"}, filled["dates"]
    assert len(filled["dates"]) > 2
