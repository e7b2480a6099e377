"""The Yahoo source against a recorded answer; nothing here asks Yahoo."""

from __future__ import annotations

import math
import subprocess
import sys

import pandas as pd
import pytest
from pydantic import ValidationError

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources import YahooSource
from finflow.pipelines.sources.yahoo import _is_over
from tests.support import REPOSITORY
from tests.support.pipelines.sources.yahoo_answers import answer, recorded

BITCOIN, ETHER = answer("2020-01-01", [7200.0, math.nan, 7350.5, 7400.0]), answer("2020-01-02", [130.0, 131.0])


def test_bars_of_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = recorded(monkeypatch, {"BTC-USD": BITCOIN, "ETH-USD": ETHER})
    found = YahooSource(symbols={"BTC": "BTC-USD", "ETH": "ETH-USD"}, start="2020-01-01").read()  # type: ignore[arg-type]
    assert list(found.columns) == ["entity", "time", "open", "high", "low", "close", "volume"]
    assert found["time"].dtype == "datetime64[us]"
    assert [str(day.date()) for day in found["time"]] == ["2020-01-01", "2020-01-03", "2020-01-04", "2020-01-02", "2020-01-03"]
    assert found["entity"].tolist() == ["BTC"] * 3 + ["ETH"] * 2
    assert found.iloc[1, 2:].tolist() == [7349.5, 7352.5, 7348.5, 7350.5, 1002.0]
    symbol, arguments, hidden = asked[0]
    assert (symbol, arguments["start"], arguments["interval"], hidden) == ("BTC-USD", "2020-01-01", "1d", False)
    assert not arguments["auto_adjust"]
    assert sys.modules["yfinance"].config.debug.hide_exceptions, "as it was"


def test_prices_adjusted_for_dividends(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = recorded(monkeypatch, {"^GSPC": ETHER})
    assert len(YahooSource(symbols={"SP500": "^GSPC"}, adjusted=True).read()) == 2
    assert asked[0][1]["auto_adjust"]


@pytest.mark.parametrize(
    ("now", "session", "last"),
    [
        ("2020-01-06 15:00", "2020-01-06", "2020-01-03"),  # Monday, the market is open
        ("2020-01-06 21:00", "2020-01-06", "2020-01-06"),  # it has closed
        ("2020-01-07 03:00", "2020-01-06", "2020-01-06"),  # Tuesday in UTC, Monday night in New York
        ("2020-01-07 12:00", "2020-01-07", "2020-01-06"),  # before Tuesday's opening
        ("2020-01-06 15:00", "2020-01-03", "2020-01-03"),  # Monday's bar is there, and Yahoo still speaks of Friday's session
    ],
)
def test_a_day_that_is_not_over_is_left_for_later(now: str, session: str, last: str) -> None:
    days = answer("2020-01-03", [1.0, math.nan, math.nan, 2.0], "America/New_York").index
    regular = {name: pd.Timestamp(f"{session} {clock}", tz="America/New_York") for name, clock in (("start", "09:30"), ("end", "16:00"))}
    over = _is_over(days, {"currentTradingPeriod": {"regular": regular}}, pd.Timestamp(now, tz="UTC"))
    assert str(days[over][-1].date()) == last


def test_a_coin_never_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    today = pd.Timestamp.now("UTC").normalize()
    regular = (f"{today}", f"{today + pd.Timedelta(days=1)}")
    recorded(monkeypatch, {"BTC-USD": answer(f"{today - pd.Timedelta(days=2):%Y-%m-%d}", [1.0, 2.0, 3.0])}, regular)
    assert YahooSource(symbols={"BTC": "BTC-USD"}).read()["close"].tolist() == [1.0, 2.0]
    recorded(monkeypatch, {"BTC-USD": answer(f"{today:%Y-%m-%d}", [3.0])})
    with pytest.raises(SourceError, match=r"'BTC-USD' \(BTC\): Yahoo's answer from 2000-01-01 on has no bar of a day that is over"):
        YahooSource(symbols={"BTC": "BTC-USD"}).read()


def test_what_goes_wrong_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, {"BTC-USD": BITCOIN, "ODD": BITCOIN.drop(columns="Volume")})
    with pytest.raises(SourceError, match=r"symbol 'GONE' \(X\): .*YFPricesMissingError.*may be delisted"):
        YahooSource(symbols={"BTC": "BTC-USD", "X": "GONE"}).read()
    assert sys.modules["yfinance"].config.debug.hide_exceptions, "as it was"
    with pytest.raises(SourceError, match="has no column Volume"):
        YahooSource(symbols={"X": "ODD"}).read()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(SourceError, match=r"pip install 'yfinance>=1\.7,<2'"):
        YahooSource(symbols={"BTC": "BTC-USD"}).read()
    program = "import sys; from finflow.pipelines.definitions.loading import load_definition; load_definition('crypto-price'); "
    program += "print('yfinance' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("symbols", [{}, {"BTC": ""}, {"BTC": "BTC/../x"}, {"BTC": "BTC USD"}, {"B\n": "BTC-USD"}, {"BTC": "比特币"}])
def test_symbols_that_are_none_are_refused(symbols: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        YahooSource(symbols=symbols)
