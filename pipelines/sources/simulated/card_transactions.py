"""Made-up card transactions with fraud in them, whose labels arrive days later: for trying fraud models where no bank's data can be had."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from finflow.pipelines.sources.base import SourceSettings
from finflow.pipelines.sources.simulated.card_world import CATEGORIES, CHANNELS, make_world

if TYPE_CHECKING:
    from finflow.pipelines.sources.simulated.card_world import World


class CardTransactionsSource(SourceSettings):
    """Transactions of `customers` cards at `terminals` over `days` days, simulated.

    The frame is that of Le Borgne, Siblini, Lebichot and Bontempi (2022, Reproducible Machine Learning for Credit Card Fraud Detection):
    customers with a home, a spending profile and a frequency, at terminals near by, and fraud in scenarios. Here fraud is less plain (it
    shares its hours, amounts and terminals with genuine spending in part), and each label arrives with a delay of its own.

    A customer has a home, a usual amount and its spread, a frequency, hours of the day, a share of online purchases, and habitual terminals
    near the home; now and then a purchase somewhere else (a journey). A terminal has a place and a merchant category, whose amounts differ.
    A share `fraud` of the transactions is fraudulent, by three scenarios (45, 35 and 20 % of it):

    - a terminal is compromised: for `compromised_days`, a third of what is charged there is fraudulent, at usual amounts. Only what is
      known of the terminal tells it.
    - a card is stolen: for a few days, beside what its owner buys, several purchases a day at terminals anywhere, of about three times
      the owner's amounts, at any hour.
    - a single online purchase by somebody else, of about six times the owner's amounts.

    What is fraudulent is known (`fraud` 1, else 0) from `reported_at` on: `delay_days` later in the median, lognormal with a long tail. A
    genuine transaction is confirmed by the same law (the customer's look at the statement), so that the labels that arrived early are no
    biased sample: what a real bank has in place of it (no complaint within so many days) is the problem's `known_after_days`. A share
    `unlabelled` is never looked at. Where the label lies beyond the last day, `fraud` and `reported_at` are missing.

    More `days` begin with the same days: adding one is what a night does to real data, late labels included.
    """

    kind: Literal["card_transactions"] = "card_transactions"
    customers: int = Field(default=1000, ge=10, le=1_000_000, description="one card each")
    terminals: int = Field(default=2000, ge=30, le=1_000_000, description="where they pay")
    days: int = Field(default=180, ge=1, le=3_660, description="simulated days")
    daily: float = Field(default=2.2, gt=0, le=50, description="transactions of a customer a day, on average")
    fraud: float = Field(default=0.004, ge=0, le=0.05, description="share of the transactions that is fraudulent, about")
    compromised_days: int = Field(default=21, ge=1, le=365, description="how long a terminal stays compromised")
    delay_days: float = Field(default=4.0, gt=0, le=365, description="median days until a label is known")
    delay_spread: float = Field(default=1.0, gt=0, le=3, description="standard deviation of the logarithm of the delay")
    unlabelled: float = Field(default=0.02, ge=0, lt=1, description="share of the transactions whose label is never known")
    revisions: bool = Field(
        default=False,
        description="each label comes as a later revision of its row, known at `reported_at`; otherwise the row has it from the start",
    )
    start: datetime.date = Field(default=datetime.date(2024, 1, 1), description="the first day")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of all draws")

    @property
    def grows(self) -> bool:
        return False

    def read(self) -> pd.DataFrame:
        """Columns entity (the customer), time (UTC, to the second, no two of a customer alike), terminal, category, channel (text), amount,
        fraud (float64, NaN where not known), reported_at (datetime64[us], UTC, naive); with `revisions` known_at too."""

        world = make_world(self)
        frame = pd.concat([self._day(world, number) for number in range(self.days)], ignore_index=True)
        end = pd.Timestamp(self.start) + pd.Timedelta(days=self.days)
        unknown = ~(frame["reported_at"] < end)
        frame["fraud"] = frame["fraud"].mask(unknown)
        frame["reported_at"] = frame["reported_at"].mask(unknown)
        return _as_revisions(frame) if self.revisions else frame

    def _day(self, world: World, number: int) -> pd.DataFrame:

        day = world.transactions(number)
        midnight = np.datetime64(self.start, "us") + np.timedelta64(number, "D")
        time = midnight + day.second.astype("timedelta64[s]").astype("timedelta64[us]")
        return pd.DataFrame(
            {
                "entity": _names("C", self.customers, day.customer),
                "time": time,
                "terminal": _names("T", self.terminals, day.terminal),
                "category": pd.array(list(CATEGORIES), dtype="str").take(world.category[day.terminal]),
                "channel": pd.array(list(CHANNELS), dtype="str").take(day.channel),
                "amount": day.amount,
                "fraud": day.fraud.astype(np.float64),
                "reported_at": pd.Series(time + day.delay.astype("timedelta64[s]").astype("timedelta64[us]")).mask(day.delay < 0),
            },
            copy=False,
        )


def _names(letter: str, count: int, codes: np.ndarray) -> pd.api.extensions.ExtensionArray:
    width = len(str(count))
    return pd.array([f"{letter}{number:0{width}d}" for number in range(1, count + 1)], dtype="str").take(codes)


def _as_revisions(frame: pd.DataFrame) -> pd.DataFrame:
    """Each row as it was first published, a day after its date begins, and once more where its label became known after that."""
    published = (frame["time"].dt.normalize() + pd.Timedelta(days=1)).dt.tz_localize("UTC")
    labelled = frame["reported_at"].dt.tz_localize("UTC")
    late = labelled > published
    first = frame.assign(known_at=published, fraud=frame["fraud"].mask(late), reported_at=frame["reported_at"].mask(late))
    return pd.concat([first, frame.assign(known_at=labelled)[late]], ignore_index=True)
