"""Made-up alerts of a bank's transaction monitoring, a few of them laundering: a table to try the template `money-laundering` on."""

from __future__ import annotations

import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from finflow.pipelines.sources.base import SourceSettings
from finflow.pipelines.sources.simulated.draws import BLOCK, known_outcome

OUTCOME_DAYS = 60
SEGMENTS = ("private", "student", "shop", "restaurant", "trade", "association")
LAUNDERS_FOR = 90  # days


class AccountDaysSource(SourceSettings):
    """Days of accounts on which a rule of the transaction monitoring raised an alert, simulated.

    An account is alerted `daily` / `accounts` times a day on average, shops and trade more often, what they do scaled to their size. A
    share `laundering` of the accounts is used for laundering, during 90 days each: there alerts are five times as frequent, cash comes in
    just below 10,000 and leaves at once, to counterparties that are new, some in countries of high risk. `reported` is 1 where an analyst
    reported the day as suspicious (nine in ten of the days of laundering, one in four hundred of the others: analysts err), else 0; it is
    known 60 days later, and missing before that. More `days` begin with the same days.
    """

    kind: Literal["account_days"] = "account_days"
    accounts: int = Field(default=3000, ge=10, le=1_000_000, description="accounts that may raise an alert")
    daily: float = Field(default=20.0, gt=0, le=100_000, description="alerts a day, on average")
    days: int = Field(default=1096, ge=1, le=36_500, description="simulated days")
    laundering: float = Field(default=0.03, ge=0, le=0.5, description="share of the accounts that is used for laundering at some time")
    start: datetime.date = Field(default=datetime.date(2020, 1, 1), description="the first day")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of all draws")

    @property
    def grows(self) -> bool:
        return False

    def read(self) -> pd.DataFrame:
        """Columns entity (the account), time (the day), cash_in, cash_out, transfers_in, transfers_out (amounts), below_limit,
        counterparties, new_counterparties (counts), high_risk (share of what left), account_age (days) (float64); segment (text);
        reported."""

        random = np.random.default_rng([self.seed, 1_000_003])
        segment = random.choice(len(SEGMENTS), self.accounts, p=[0.5, 0.1, 0.15, 0.1, 0.1, 0.05])
        size = np.exp(np.array([7.0, 6.0, 9.0, 8.7, 9.6, 7.2])[segment] + 0.7 * random.standard_normal(self.accounts))
        used, begins = random.random(self.accounts) < self.laundering, random.random(self.accounts) * 365 * 3
        age = random.exponential(1500, self.accounts)
        rate = np.array([1.0, 0.6, 2.0, 2.0, 2.5, 0.8])[segment]
        rate = rate * self.daily / rate.sum()
        frames = []
        for number in range(-(-self.days // BLOCK)):
            draws = np.random.default_rng([self.seed, number])
            day = np.arange(number * BLOCK, (number + 1) * BLOCK)
            # A laundering account's 90 days come again every three years: what lies beyond the first three is like them.
            at_work = used & ((day[:, None] - begins) % (365 * 3) < LAUNDERS_FOR)
            place = np.argwhere(draws.random(at_work.shape) < 1 - np.exp(-rate * np.where(at_work, 5.0, 1.0)))
            account, dirty = place[:, 1], at_work[place[:, 0], place[:, 1]]
            values = _amounts(draws, size[account], dirty)
            frames.append(pd.DataFrame({"account": account, "day": day[place[:, 0]], **values, "age": age[account] + day[place[:, 0]]}))
        frame = pd.concat(frames, ignore_index=True)
        frame = frame[frame["day"] < self.days].reset_index(drop=True)
        time = pd.Series((np.datetime64(self.start, "us") + frame["day"].to_numpy() * np.timedelta64(1, "D")).astype("datetime64[us]"))
        account = frame["account"].to_numpy()
        names = np.array([f"AC{number:06d}" for number in range(1, self.accounts + 1)], dtype=object)
        rows = frame.drop(columns=["account", "day", "age", "reported"])
        rows.insert(0, "entity", pd.Series(names[account], dtype="str"))
        rows.insert(1, "time", time)
        return rows.assign(
            account_age=np.floor(frame["age"]),
            segment=pd.Series(np.array(SEGMENTS, dtype=object)[segment[account]], dtype="str"),
            reported=known_outcome(frame["reported"].to_numpy(), time, self.start, self.days, OUTCOME_DAYS),
        )


def _amounts(random: Any, size: Any, dirty: Any) -> dict[str, Any]:
    rows = len(size)
    cash = size * np.exp(0.9 * random.standard_normal(rows)) * (random.random(rows) < 0.6)
    below = np.where(dirty, random.poisson(1.2, rows), random.poisson(0.08, rows)).astype(np.float64)
    cash = cash + below * random.uniform(8500, 9990, rows)
    transfers = size * np.exp(0.9 * random.standard_normal(rows))
    passed = np.where(dirty, random.beta(4, 2, rows), random.beta(2, 2.5, rows))
    counterparties = 1.0 + random.poisson(3 + np.log(size))
    new = random.binomial(counterparties.astype(int), np.where(dirty, 0.4, 0.2)).astype(np.float64)
    high_risk = np.where(random.random(rows) < np.where(dirty, 0.35, 0.07), random.beta(1.5, 3, rows), 0.0)
    return {
        "cash_in": np.round(cash, 2), "cash_out": np.round(0.3 * cash * random.random(rows), 2), "transfers_in": np.round(transfers, 2),
        "transfers_out": np.round((cash + transfers) * passed, 2), "below_limit": below, "counterparties": counterparties,
        "new_counterparties": new, "high_risk": np.round(high_risk, 4),
        "reported": (random.random(rows) < np.where(dirty, 0.9, 0.0025)).astype(np.float64),
    }  # fmt: skip
