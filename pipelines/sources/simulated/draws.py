"""What simulators of rows share: blocks of days with draws of their own, chances, and choices by shares that may drift."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

BLOCK = 30  # days that are drawn at once, whole: so that more days begin with the same days


def by_blocks(
    start: datetime.date, days: int, daily: float, seed: int, letter: str, block: Callable[[np.random.Generator, Float64], dict[str, Any]]
) -> pd.DataFrame:
    """Rows of `days` days: entity (a letter and a number), time (datetime64[us], midnight), and the columns of `block`.

    Args:
        daily: rows a day, on average (Poisson).
        block: takes a generator of the block's own and the rows' days since the start (float64, [rows]), and returns columns of [rows].
    """
    frames = []
    for number in range(-(-days // BLOCK)):
        random = np.random.default_rng([seed, number])
        counts = random.poisson(daily, BLOCK)
        day = np.repeat(np.arange(number * BLOCK, (number + 1) * BLOCK), counts)
        frames.append(pd.DataFrame({"day": day, **block(random, day.astype(np.float64))}))
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[frame["day"] < days].reset_index(drop=True)
    time = np.datetime64(start, "us") + frame["day"].to_numpy() * np.timedelta64(1, "D")
    frame.insert(0, "entity", pd.Series([f"{letter}{number:07d}" for number in range(1, len(frame) + 1)], dtype="str"))
    frame.insert(1, "time", pd.Series(time.astype("datetime64[us]")))
    return frame.drop(columns="day")


def known_outcome(came: Float64, time: pd.Series, start: datetime.date, days: int, after: int) -> Float64:
    """`came`, NaN where the outcome, known `after` days after its row, lies beyond the last day."""
    end = np.datetime64(start, "us") + np.timedelta64(days, "D")
    late = time.to_numpy() + np.timedelta64(after, "D") > end
    return np.where(late, np.nan, came)


def chance_of(score: Float64) -> Float64:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-score))


def pick(random: np.random.Generator, shares: Float64, names: Sequence[str]) -> NDArray[np.object_]:
    """One of `names` for each row, by its shares: float64, [rows, names], of any sum."""
    cumulative = np.cumsum(shares, axis=1)
    place = (random.random(len(shares))[:, None] * cumulative[:, -1:] > cumulative).sum(axis=1)
    return np.array(names, dtype=object)[place]
