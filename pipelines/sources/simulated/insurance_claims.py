"""Made-up motor claims, a few of them fraudulent: a table to try the template `insurance-claims` on."""

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

OUTCOME_DAYS = 120
CAUSES = ("collision", "theft", "glass", "hail", "fire")
GARAGES = 60


class InsuranceClaimsSource(SourceSettings):
    """Claims as they are reported, `daily` a day on average over `days` days, simulated.

    About 4 % are fraudulent (`fraud` 1, else 0; known 120 days later, missing before that). Fraud is likelier soon after a policy begins or
    was extended, late in being reported, without a police report, for thefts and fires of old cars, for amounts high for the car, and at
    the six of sixty garages that take part in it. Ages of cars are not always known. More `days` begin with the same days.
    """

    kind: Literal["insurance_claims"] = "insurance_claims"
    daily: float = Field(default=12.0, gt=0, le=10_000, description="claims a day, on average")
    days: int = Field(default=1461, ge=1, le=36_500, description="simulated days")
    start: datetime.date = Field(default=datetime.date(2019, 1, 1), description="the first day")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of all draws")

    @property
    def grows(self) -> bool:
        return False

    def read(self) -> pd.DataFrame:
        """Columns entity (the claim), time (its date), amount, car_age, car_value, policy_days, days_to_report, earlier_claims, age
        (float64); cause, garage, police_report, sex (text); fraud."""
        frame = by_blocks(self.start, self.days, self.daily, self.seed, "K", _block)
        return frame.assign(fraud=known_outcome(frame["fraud"].to_numpy(), frame["time"], self.start, self.days, OUTCOME_DAYS))


def _block(random: np.random.Generator, day: NDArray[np.float64]) -> dict[str, Any]:

    rows = len(day)
    age = np.floor(18 + 62 * random.beta(1.8, 2.4, rows))
    car_age = np.floor(random.gamma(2.0, 3.0, rows))
    value = np.round(28_000 * np.exp(-0.13 * car_age + 0.35 * random.standard_normal(rows)), -2)
    cause = pick(random, np.tile([0.55, 0.08, 0.22, 0.12, 0.03], (rows, 1)), CAUSES)
    part = {"collision": 0.22, "theft": 0.85, "glass": 0.03, "hail": 0.10, "fire": 0.6}
    excess = 0.35 * random.standard_normal(rows)
    amount = np.round(np.clip(value * np.array([part[one] for one in cause]) * np.exp(excess), 80, None), 2)
    policy_days, days_to_report = np.floor(random.exponential(900, rows)), np.floor(random.exponential(4, rows))
    earlier = random.poisson(0.35, rows).astype(np.float64)
    garage = random.integers(1, GARAGES + 1, rows)
    report = random.random(rows) < np.where(np.isin(cause, ("theft", "fire")), 0.8, 0.35)
    score = -4.05 + 1.3 * (policy_days < 60) + 0.06 * days_to_report + 0.35 * earlier + 1.2 * excess + 1.4 * (garage <= 6)
    score = score + 0.9 * np.isin(cause, ("theft", "fire")) * (1.0 - report) + 0.06 * car_age * np.isin(cause, ("theft", "fire"))
    return {
        "amount": amount, "car_age": np.where(random.random(rows) < 0.06, np.nan, car_age), "car_value": value, "policy_days": policy_days,
        "days_to_report": days_to_report, "earlier_claims": earlier, "age": age, "cause": cause,
        "garage": np.array([f"G{number:02d}" for number in range(GARAGES + 1)], dtype=object)[garage],
        "police_report": np.where(report, "yes", "no").astype(object), "sex": np.where(random.random(rows) < 0.45, "f", "m").astype(object),
        "fraud": (random.random(rows) < chance_of(score)).astype(np.float64),
    }  # fmt: skip
