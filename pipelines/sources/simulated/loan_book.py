"""A made-up loan book: applicants of several years, a cycle that moves defaults, and outcomes of the accepted alone, a year later."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from finflow.pipelines.sources.base import SourceSettings
from finflow.pipelines.sources.simulated.draws import by_blocks, chance_of, known_outcome, pick

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

OUTCOME_DAYS = 365
MONTH = 30.4375

PURPOSES = ("car", "furniture", "education", "renovation", "business", "electric car")
EMPLOYMENTS = ("employee", "public", "self-employed", "retired", "unemployed")
CHANNELS = ("branch", "online", "broker")
HOUSINGS = ("rent", "own", "with parents")
REGIONS = ("north", "east", "south", "west")
BANDS = ("18-25", "26-35", "36-50", "51-65", "66+")


class LoanBookSource(SourceSettings):
    """Applications for loans, `daily` a day on average over `days` days, simulated.

    Whom the bank accepted by its old policy has an outcome, and only after 365 days: whether the loan defaulted within them (`defaulted`
    1, else 0; missing for the last year's). What makes it like a real book:

    - the mix drifts: from branch to online, towards business loans; a purpose (`electric car`) that nobody knew before appears after
      three years;
    - the cycle: an unemployment rate goes round in seven years or so, with shocks. Defaults follow its mean over the twelve months
      after the application, which nobody knows then; `unemployment` is the rate of the month before;
    - reject bias: the policy cuts at the bureau's score and the debt ratio, and at a loan officer's impression, which is in no column
      and tells something about default. So the accepted are better than their columns say. With `rejected` the others are rows too,
      `accepted` 0, without an outcome;
    - missing fields: income is withheld more often where it is low or the applicant is self-employed, thin files (the young) have no
      bureau score, who has no employer has no `months_employed`; a part of each is missing by chance;
    - protected: sex and age band tell nothing of default beside income, employment and housing, which differ by them.

    With `truth` a column `chance` holds the probability by which each outcome was drawn, given all columns before anything went missing,
    the officer's impression and the unemployment to come: for tests, no model can know all of it. More `days` begin with the same days.
    """

    kind: Literal["loan_book"] = "loan_book"
    daily: float = Field(default=10.0, gt=0, le=10_000, description="applications a day, on average")
    days: int = Field(default=2557, ge=1, le=36_500, description="simulated days")
    start: datetime.date = Field(default=datetime.date(2015, 1, 1), description="the first day")
    cycle: float = Field(default=1.0, ge=0, le=3, description="strength of the cycle in defaults; 0: none")
    rejected: bool = Field(default=False, description="rows of rejected applicants too, without an outcome")
    truth: bool = Field(default=False, description="a column `chance`, by which the outcome was drawn: for tests")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of all draws")

    @property
    def grows(self) -> bool:
        return False

    def read(self) -> pd.DataFrame:
        """Columns entity (the application), time (its date), amount, term, age, income, months_employed, bureau_score, debt_ratio,
        delinquencies, unemployment (float64); purpose, employment, housing, channel, region, sex, age_band (text); defaulted; and
        `accepted` with `rejected`, `chance` with `truth`."""
        rate = _unemployment(self.days, self.seed)
        frame = by_blocks(self.start, self.days, self.daily, self.seed, "A", lambda random, day: self._block(random, day, rate))
        outcome = known_outcome(frame["defaulted"].to_numpy(), frame["time"], self.start, self.days, OUTCOME_DAYS)
        frame["defaulted"] = outcome
        frame["defaulted"] = frame["defaulted"].mask(frame["accepted"] == 0)
        if not self.rejected:
            frame = frame[frame["accepted"] == 1].drop(columns="accepted").reset_index(drop=True)
        return frame if self.truth else frame.drop(columns="chance")

    def _block(self, random: np.random.Generator, day: NDArray[np.float64], rate: NDArray[np.float64]) -> dict[str, Any]:

        person = _persons(random, day)
        loan = _loans(random, day, person)
        impression = random.standard_normal(len(day))
        month = (day // MONTH).astype(np.int64)
        ahead = np.array([rate[one + 1 : one + 13].mean() for one in month]) if len(day) else np.zeros(0)
        score = _risk(person, loan) - 0.45 * impression + self.cycle * 0.30 * (ahead - 6.0)
        chance = chance_of(score)
        policy = (person["bureau_score"] - 560) / 60 - 2.0 * (loan["debt_ratio"] - 0.35) + 0.8 * impression
        columns = {**loan, **person, "unemployment": rate[month]}
        columns |= {"accepted": (policy > 0).astype(np.float64), "defaulted": (random.random(len(day)) < chance).astype(np.float64)}
        return {**_withheld(random, columns), "chance": chance}


def _unemployment(days: int, seed: int) -> NDArray[np.float64]:
    """In percent by month, float64: of the month before the first, and on to thirteen beyond the last."""
    months = int(days // MONTH) + 15 + 30
    shocks = np.random.default_rng([seed, 1_000_003]).standard_normal(months)
    swing = np.zeros(months)
    for month in range(1, months):
        swing[month] = 0.9 * swing[month - 1] + 0.25 * shocks[month]
    return np.clip(6.0 + 1.8 * np.sin(2 * np.pi * np.arange(months) / 84 - 0.5) + swing, 2.0, 15.0)


def _persons(random: np.random.Generator, day: NDArray[np.float64]) -> dict[str, Any]:

    rows = len(day)
    sex = np.where(random.random(rows) < 0.46, "f", "m").astype(object)
    age = np.floor(18 + 58 * random.beta(1.6, 2.6, rows))
    young, old = age < 26, age > 65
    work = np.stack(
        [np.full(rows, 0.58), np.where(sex == "f", 0.20, 0.13), np.where(sex == "f", 0.07, 0.13), 0.9 * old, 0.05 + 0.06 * young], 1
    )
    employment = pick(random, np.where(old[:, None], work * [0.1, 0.1, 0.4, 1, 0], work), EMPLOYMENTS)
    level = {"employee": 7.85, "public": 7.90, "self-employed": 7.95, "retired": 7.45, "unemployed": 6.90}
    log_income = np.array([level[one] for one in employment]) + 0.12 * np.log(np.clip(age - 17, 1, 30)) - 0.3 - 0.08 * (sex == "f")
    spread = np.where(employment == "self-employed", 0.55, 0.35)
    income = np.round(np.exp(log_income + spread * random.standard_normal(rows)), -1)
    served = np.minimum(np.floor(random.exponential(14 + 2.2 * (age - 18))), 12 * (age - 16))
    months = np.where(np.isin(employment, ("retired", "unemployed")), np.nan, served)
    owns = np.clip(0.02 * (age - 24) + 0.25 * (income > 3500), 0.02, 0.8)
    housing = pick(random, np.stack([np.full(rows, 0.5), owns, np.where(young, 0.5, 0.03)], 1), HOUSINGS)
    delinquencies = random.poisson(np.where(employment == "unemployed", 0.6, 0.22)).astype(np.float64)
    bureau = (
        620
        - 38 * delinquencies
        + 22 * (housing == "own")
        + 0.5 * (age - 40)
        + 14 * np.log(income / 2500)
        + 45 * random.standard_normal(rows)
    )
    band = np.array(BANDS, dtype=object)[np.searchsorted([25, 35, 50, 65], age)]
    region = pick(random, np.tile([0.3, 0.2, 0.3, 0.2], (rows, 1)), REGIONS)
    return {
        "age": age, "sex": sex, "age_band": band, "region": region, "employment": employment, "months_employed": months, "income": income,
        "housing": housing, "delinquencies": delinquencies, "bureau_score": np.round(np.clip(bureau, 300, 850)),
    }  # fmt: skip


def _loans(random: np.random.Generator, day: NDArray[np.float64], person: dict[str, Any]) -> dict[str, Any]:

    rows, years = len(day), day / 365.25
    online = np.clip(0.15 + 0.09 * years, 0, 0.85)
    channel = pick(random, np.stack([0.8 * (1 - online), online, np.full(rows, 0.12)], 1), CHANNELS)
    some = np.ones(rows)
    shares = [0.34 * some, 0.22 * some, 0.10 * some, 0.20 * some, 0.06 + 0.02 * years, np.where(years < 3, 0.0, 0.04 * (years - 3))]
    purpose = pick(random, np.stack(shares, 1), PURPOSES)
    typical = {"car": 9.1, "furniture": 8.0, "education": 8.4, "renovation": 8.9, "business": 9.5, "electric car": 9.7}
    centre = np.array([typical[one] for one in purpose])
    amount = np.round(np.exp(centre + 0.35 * np.log(person["income"] / 2500) + 0.4 * random.standard_normal(rows)), -2)
    amount = np.clip(amount, 500, 80_000)
    term = np.array([12.0, 24.0, 36.0, 48.0, 60.0, 72.0])[np.clip(np.floor(amount / 5000 + 2.2 * random.random(rows)), 0, 5).astype(int)]
    debts = random.gamma(1.5, 0.09, rows)
    return {
        "amount": amount, "term": term, "purpose": purpose, "channel": channel,
        "debt_ratio": np.round(np.clip(debts + amount / term / person["income"], 0, 3), 3),
    }  # fmt: skip


def _risk(person: dict[str, Any], loan: dict[str, Any]) -> NDArray[np.float64]:
    """The logit of default in a year of 6 % unemployment, for an officer without an impression."""
    months = np.nan_to_num(person["months_employed"], nan=60.0)
    purpose = {"car": -0.2, "furniture": 0.1, "education": 0.2, "renovation": -0.2, "business": 0.6, "electric car": -0.1}
    score = -2.1 - 0.011 * (person["bureau_score"] - 600) + 1.6 * np.clip(loan["debt_ratio"] - 0.25, 0, 1.0)
    score = score - 0.45 * np.log(person["income"] / 2500) - 0.22 * np.log1p(months / 12) + 0.35 * np.minimum(person["delinquencies"], 3)
    score = score + 0.7 * (person["employment"] == "unemployed") + 0.35 * (person["employment"] == "self-employed")
    score = score + 0.3 * (loan["channel"] == "online") + 0.5 * (loan["channel"] == "broker") - 0.3 * (person["housing"] == "own")
    # A long loan for its size is one that could not be paid faster.
    score = score + 0.012 * (loan["term"] - 36) * (loan["amount"] < 8000)
    return np.asarray(score + np.array([purpose[one] for one in loan["purpose"]]))


def _withheld(random: np.random.Generator, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns with what nobody told left out."""
    rows = len(columns["age"])
    low = 0.10 * (columns["income"] < 1800) + 0.12 * (columns["employment"] == "self-employed")
    thin = np.where(columns["age"] < 24, 0.35, 0.03)
    gone = {"income": random.random(rows) < 0.03 + low, "bureau_score": random.random(rows) < thin}
    withheld: dict[str, Any] = {name: np.where(mask, np.nan, columns[name]) for name, mask in gone.items()}
    withheld["months_employed"] = np.where(random.random(rows) < 0.04, np.nan, columns["months_employed"])
    withheld["housing"] = np.where(random.random(rows) < 0.05, None, columns["housing"])
    return columns | withheld
