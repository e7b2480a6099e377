"""yfinance as far as the Yahoo source uses it, answering from a recording: no network, and no such package needed.

The recording is made up, in the shape that yfinance 1.7.0 gave for an answer of Yahoo's chart service: midnights of the exchange's zone in
seconds, `Date` as the index, Adj Close beside the bars, whole volumes, days without a trade left out, the current day's bar as it stands.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import pandas as pd
import pytest


class YFPricesMissingError(Exception):
    """As yfinance raises it where exceptions are not hidden."""


def answer(first: str, closes: list[float], zone: str = "UTC") -> pd.DataFrame:
    """Daily bars from a date on, a day each; a close of NaN is a day that Yahoo leaves out."""
    days = pd.date_range(first, periods=len(closes), freq="D", tz=zone, name="Date").as_unit("s")
    close = pd.Series(closes, index=pd.DatetimeIndex(days, freq=None))
    bars = {"Open": close - 1, "High": close + 2, "Low": close - 2, "Close": close, "Adj Close": close * 0.9}
    return pd.DataFrame({**bars, "Volume": range(1000, 1000 + len(closes))}).dropna()


def recorded(monkeypatch: pytest.MonkeyPatch, answers: dict[str, pd.DataFrame], regular: tuple[str, str] | None = None) -> list[Any]:
    """Put a module `yfinance` in place that knows these symbols; what it is asked is noted in the list that comes back.

    Args:
        regular: begin and end of the current regular session, in any zone.
    """
    asked: list[Any] = []
    config = types.SimpleNamespace(debug=types.SimpleNamespace(hide_exceptions=True))

    class Ticker:
        def __init__(self, symbol: str) -> None:
            self.symbol = symbol
            session = {} if regular is None else {"start": pd.Timestamp(regular[0]), "end": pd.Timestamp(regular[1])}
            self.history_metadata = {"currentTradingPeriod": {"regular": session}}

        def history(self, **arguments: Any) -> pd.DataFrame:
            asked.append((self.symbol, arguments, config.debug.hide_exceptions))
            if self.symbol not in answers:
                raise YFPricesMissingError(f"${self.symbol}: No data found, symbol may be delisted")
            frame = answers[self.symbol].drop(columns="Adj Close") if arguments["auto_adjust"] else answers[self.symbol]
            return frame[frame.index >= pd.Timestamp(arguments["start"]).tz_localize(frame.index.tz)].copy()

    module: Any = types.ModuleType("yfinance")
    module.Ticker, module.config = Ticker, config
    monkeypatch.setitem(sys.modules, "yfinance", module)
    return asked
