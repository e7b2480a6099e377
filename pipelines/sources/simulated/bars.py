"""Made-up bars with a known truth: to see what a gate does when there is a signal, and when there is none."""

from __future__ import annotations

import datetime
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from finflow.pipelines.core.calendars import next_sessions
from finflow.pipelines.sources.base import SourceSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

Process = Literal["random_walk", "autoregressive", "product_of_lags", "garch"]
BURN_IN = 250  # steps thrown away, so that the first day is a draw from the stationary law
CLIP = 2.0  # standard deviations; bounds the product of lags, which could otherwise run away


class SimulatedSource(SourceSettings):
    """Bars of `entities` independent series whose log returns follow a stated process.

    With e_t standard normal, s the volatility and R2 the share of the return's variance that the past tells:

    - random_walk: r_t = s e_t. Nothing can be predicted.
    - autoregressive: r_t = s (sqrt(R2) z_{t-1} + sqrt(1 - R2) e_t), with z = r / s. A linear model sees it.
    - product_of_lags: r_t = s (sqrt(R2) g_t + sqrt(1 - R2) e_t), where g_t is the product of the two returns before it, each clipped at two
      standard deviations, scaled to variance one. It needs a non-linear model: a linear one sees only the echo that the product leaves at
      the third lag, about R2 squared of the variance.
    - garch: r_t = s_t e_t, with s_t^2 = s^2 (1 - a - b) + a r_{t-1}^2 + b s_{t-1}^2, a = 0.08, b = 0.90 (Bollerslev, 1986). The spread
      can be predicted, the direction cannot.

    Entities may come and go: the first `late_starts` of them begin late, the next `early_ends` end early, and the next `gaps` lack
    `gap_length` sessions in the middle. Begin, gap and end of each are drawn by the seed from the first, second and last third of its first
    `within` sessions; the prices behind the rows that are left are those of the whole series.

    A series with more `days` begins with the same days: adding one is what a night does to real data.
    """

    kind: Literal["simulated"] = "simulated"
    process: Process = Field(description="the law that log returns follow")
    entities: int = Field(default=1, ge=1, le=10_000, description="independent series, S1, S2 ...")
    days: int = Field(default=1500, ge=1, le=1_000_000, description="sessions of each entity")
    r_squared: float = Field(default=0.1, ge=0, lt=1, description="share of the variance of returns that the past tells")
    volatility: float = Field(default=0.01, gt=0, le=1, description="standard deviation of daily log returns")
    start: datetime.date = Field(default=datetime.date(2010, 1, 4), description="the first day, or the first session after it")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of all draws")
    calendar: str | None = Field(default="XNYS", description="whose sessions the days are; null: Monday to Friday")
    late_starts: int = Field(default=0, ge=0, description="entities that begin late (the first ones)")
    early_ends: int = Field(default=0, ge=0, description="entities that end early (the next ones)")
    gaps: int = Field(default=0, ge=0, description="entities with a gap (the next ones)")
    gap_length: int = Field(default=20, ge=1, description="sessions that a gap lacks")
    within: int = Field(default=1500, ge=3, description="sessions within whose thirds late starts, gaps and early ends fall")

    @model_validator(mode="after")
    def _enough(self) -> SimulatedSource:
        special = self.late_starts + self.early_ends + self.gaps
        if special > self.entities:
            raise ValueError(f"late_starts, early_ends and gaps name {special} entities; there are {self.entities}")
        return self

    @property
    def grows(self) -> bool:
        return False

    def read(self) -> pd.DataFrame:
        """Columns entity (S1, S2 ...), time, open, high, low, close, volume (float64)."""

        before = np.datetime64(self.start, "ns") - np.timedelta64(1, "D")
        time = pd.DatetimeIndex(next_sessions(self.calendar, before, self.days)).as_unit("us")
        width = len(str(self.entities))
        frames = [self._bars(f"S{number + 1:0{width}d}", number, time)[self._there(number)] for number in range(self.entities)]
        return pd.concat(frames, ignore_index=True)

    def _there(self, number: int) -> NDArray[np.bool_]:
        """bool, [days]: the sessions that an entity has."""
        third = self.within // 3
        draw = int(np.random.default_rng([self.seed, number, 5]).integers(1, third, endpoint=True))
        session = np.arange(self.days)
        if number < self.late_starts:
            return session >= draw
        if number < self.late_starts + self.early_ends:
            return session < 2 * third + draw
        if number < self.late_starts + self.early_ends + self.gaps:
            return (session < third + draw) | (session >= third + draw + self.gap_length)
        return session >= 0

    def _bars(self, entity: str, number: int, time: pd.DatetimeIndex) -> pd.DataFrame:
        """A close path of the process, and a day's other prices around it that tell nothing of the next day."""
        # One generator for each series of draws: so that more days never shift the draws of the days before.
        returns, gaps, highs, lows, volumes = (np.random.default_rng([self.seed, number, part]) for part in range(5))
        change = self.volatility * _standard_returns(self.process, self.r_squared, returns.standard_normal(BURN_IN + self.days))
        close = 100.0 * np.exp(np.cumsum(change))
        before = np.concatenate([[100.0], close[:-1]])
        open_ = before * np.exp(0.2 * self.volatility * gaps.standard_normal(self.days))
        spread = 0.5 * self.volatility
        return pd.DataFrame(
            {
                "entity": pd.array([entity] * self.days, dtype="str"),
                "time": time,
                "open": open_,
                "high": np.maximum(open_, close) * np.exp(spread * np.abs(highs.standard_normal(self.days))),
                "low": np.minimum(open_, close) * np.exp(-spread * np.abs(lows.standard_normal(self.days))),
                "close": close,
                "volume": np.round(1e6 * np.exp(0.2 * volumes.standard_normal(self.days))),
            }
        )


def _standard_returns(process: Process, r_squared: float, noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64, [len(noise) - BURN_IN]: returns of unit variance."""
    signal, rest = math.sqrt(r_squared), math.sqrt(1 - r_squared)
    draws: list[float] = noise.tolist()
    values: Any
    if process == "random_walk":
        values = draws
    elif process == "autoregressive":
        values, last = [], 0.0
        for draw in draws:
            last = signal * last + rest * draw
            values.append(last)
    elif process == "product_of_lags":
        scale, values, older, last = signal / _product_scale(signal, rest), [], 0.0, 0.0
        for draw in draws:
            product = max(-CLIP, min(CLIP, last)) * max(-CLIP, min(CLIP, older))
            older, last = last, scale * product + rest * draw
            values.append(last)
    else:
        values, variance, last = [], 1.0, 0.0
        for draw in draws:
            variance = 0.02 + 0.08 * last * last + 0.90 * variance
            last = math.sqrt(variance) * draw
            values.append(last)

    return np.array(values[BURN_IN:], dtype=np.float64)


@lru_cache(maxsize=16)
def _product_scale(signal: float, rest: float) -> float:
    """The standard deviation of the product of two clipped returns under the process's own law.

    Large returns follow large ones in this process, so the product varies more than that of two independent normals; the scale is the fixed
    point of simulating with the running estimate of itself (Robbins and Monro, 1951).
    """
    square, older, last = 1.0, 0.0, 0.0
    for step, draw in enumerate(np.random.default_rng(0).standard_normal(200_000).tolist(), start=1):
        product = max(-CLIP, min(CLIP, last)) * max(-CLIP, min(CLIP, older))
        square += (product * product - square) / (step + 10)
        older, last = last, signal * product / math.sqrt(square) + rest * draw
    return math.sqrt(square)
