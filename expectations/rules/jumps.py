"""Moves that look like an unadjusted split or a change of unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.expectations.batch import codes, follows, numeric, traded
from finflow.expectations.rule import Finding, Mask, RowRule, describe_key
from finflow.expectations.rules.gaps import sessions_since

# Under a price limit the first sessions of a new listing are free in most markets.
FREE_SESSIONS = 5


@dataclass(frozen=True)
class NoJumps(RowRule):
    """The log return from one session to the next is at most `size`.

    In a market with a daily limit no session moves further than it, so half as much again is a jump already (the half is for rounding and
    for reference prices); the first five sessions of an entity are left out there. A return over a suspension or over more than
    `maximum_gap` missing sessions is not a session's return, and prices that are not positive have none: neither is judged.
    """

    size: float
    maximum_gap: int
    price_limit: float | None = None
    name = "no_jumps"
    severity = "warning"
    stage = "series"
    remedy = "adjust the prices for splits and units at the source, or raise `jump`"

    @property
    def threshold(self) -> float:
        """Absolute log return above which a move is a jump."""
        return self.size if self.price_limit is None else min(self.size, float(np.log1p(1.5 * self.price_limit)))

    @property
    def statement(self) -> str:
        return f"absolute log returns from session to session are at most {self.threshold:.3g}"

    def returns(self, batch: pd.DataFrame) -> np.ndarray:
        """Log returns from session to session, float64, [rows]; 0 where there is none to judge."""
        closes = dict(numeric(batch, ["close"]))
        moves = np.zeros(len(batch))
        if "close" not in closes or len(batch) < 2:
            return moves
        close, open_day = closes["close"].astype(np.float64), traded(batch)
        judged = follows(batch) & (sessions_since(batch) - 1 <= self.maximum_gap) & (close > 0)
        judged[1:] &= open_day[:-1] & (close[:-1] > 0)
        if self.price_limit is not None:
            judged &= _place_in_entity(batch) >= FREE_SESSIONS
        logs = np.log(np.where(close > 0, close, 1.0))
        moves[1:] = np.where(judged[1:], np.diff(logs), 0.0)
        return moves

    def broken(self, batch: pd.DataFrame) -> Mask:
        return np.abs(self.returns(batch)) > self.threshold

    def check(self, batch: pd.DataFrame) -> Finding:
        moves = self.returns(batch)
        rows = np.abs(moves) > self.threshold
        places = np.flatnonzero(rows)
        if not len(places):
            return Finding(0, "", rows)
        largest = places[np.argsort(-np.abs(moves[places]), kind="stable")[:3]]
        close = batch["close"].to_numpy()
        examples = [f"{describe_key(batch.iloc[place])} (close {close[place - 1]:g} to {close[place]:g})" for place in largest]
        return Finding(len(places), f"{len(places):,} {'jump' if len(places) == 1 else 'jumps, the largest'}: {'; '.join(examples)}", rows)


def _place_in_entity(batch: pd.DataFrame) -> np.ndarray:
    """How many rows of its entity come before a row: int64, [rows]."""
    starts = np.flatnonzero(~follows(batch))
    return np.arange(len(batch)) - np.repeat(starts, np.diff(np.append(starts, len(codes(batch)))))
