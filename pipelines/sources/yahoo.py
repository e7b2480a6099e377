"""Daily bars from Yahoo Finance, by the `yfinance` package: an extra, for those with internet."""

from __future__ import annotations

import datetime
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator

from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.core.names import check_name
from finflow.pipelines.sources.base import SourceSettings

BARS = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}


class YahooSource(SourceSettings):
    """Daily bars of Yahoo's symbols as one panel. Needs the package `yfinance`: finflow's extra `yahoo`.

    Prices are adjusted for splits, and with `adjusted` for dividends too. Each dividend then changes the whole history: finflow takes the
    new one in as known from then on, and an earlier as-of goes on seeing the old. A day that is not over yet is left for a later read.
    """

    kind: Literal["yahoo"] = "yahoo"
    symbols: dict[str, str] = Field(min_length=1, description="entity -> Yahoo's symbol, as {BTC: BTC-USD, SP500: ^GSPC}")
    start: datetime.date = Field(default=datetime.date(2000, 1, 1), description="the first date that is asked for")
    adjusted: bool = Field(default=False, description="prices adjusted for dividends too")
    timeout_seconds: float = Field(default=30, gt=0, le=600, description="for each symbol's answer")

    @field_validator("symbols")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for entity, symbol in value.items():
            try:
                check_name(entity, "entity")
            except FinflowError as error:
                raise ValueError(str(error)) from None
            if not symbol.isascii() or not symbol.isprintable() or not symbol or set(symbol) & set(" /?#&%\\"):
                raise ValueError(f"symbol {symbol[:40]!a} of {entity!r} is none of Yahoo's: they look like BTC-USD, ^GSPC or EURUSD=X")
        return value

    def read(self) -> pd.DataFrame:
        """Columns entity, time, open, high, low, close, volume (float64)."""
        yfinance = _yfinance()
        hidden = yfinance.config.debug.hide_exceptions
        yfinance.config.debug.hide_exceptions = False  # otherwise what is wrong goes to a log, and an empty table comes back
        try:
            frames = [self._bars(yfinance, entity, symbol) for entity, symbol in self.symbols.items()]
        finally:
            yfinance.config.debug.hide_exceptions = hidden
        return pd.concat(frames, ignore_index=True)

    def _bars(self, yfinance: Any, entity: str, symbol: str) -> pd.DataFrame:
        ticker = yfinance.Ticker(symbol)
        try:
            answer = ticker.history(
                start=f"{self.start}", interval="1d", auto_adjust=self.adjusted, actions=False, timeout=self.timeout_seconds
            )
            answer = answer[_is_over(answer.index, ticker.history_metadata, pd.Timestamp.now("UTC"))]
        except Exception as error:  # of its web client, of its parsers, of Yahoo: all mean the same here
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise SourceError(
                f"symbol {symbol!r} ({entity}): Yahoo did not answer with bars ({why}). Check the symbol and the connection, or try again "
                "later; Yahoo refuses those who ask too often."
            ) from error
        missing = [name for name in BARS if name not in answer]
        if answer.empty or missing:
            what = f"no column {', '.join(missing)}" if missing else "no bar of a day that is over"
            raise SourceError(
                f"symbol {symbol!r} ({entity}): Yahoo's answer from {self.start} on has {what}; check the symbol and `start`."
            )
        frame = answer[list(BARS)].rename(columns=BARS).astype("float64").reset_index(drop=True)
        frame.insert(0, "entity", pd.Series([entity] * len(frame), dtype="str"))
        frame.insert(1, "time", answer.index.tz_localize(None).normalize().as_unit("us"))
        return frame


def _yfinance() -> Any:
    try:
        import yfinance
    except ImportError as error:
        raise SourceError(
            f"the source `yahoo` needs the package yfinance, which finflow does not bring ({error}): pip install 'yfinance>=1.7,<2' (the "
            "extra `yahoo`)"
        ) from None
    return yfinance


def _is_over(days: pd.DatetimeIndex, facts: Any, now: pd.Timestamp) -> Any:
    """bool, [days]: whether the regular session of each day (midnights of the exchange's zone) has ended by `now` (aware)."""
    over = days < now.tz_convert(days.tz).normalize()
    regular = (facts.get("currentTradingPeriod") or {}).get("regular") or {}
    if {"start", "end"} <= set(regular) and pd.Timestamp(regular["end"]) <= now:
        over |= days == pd.Timestamp(regular["start"]).tz_convert(days.tz).normalize()
    return over
