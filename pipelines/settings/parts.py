"""The parts of a definition: contract, features, window, folds, recipes and gate."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.settings import Settings


class Contract(Settings):
    """The rules a batch must meet, and how they are tuned.

    `kind` names a suite in expectations/; `severity` overrides a rule's own severity by its name.
    """

    kind: Literal["bars", "table"] = Field(
        default="bars", description="a suite of expectations/: bars (prices of sessions) or table (rows with an outcome)"
    )
    minimum_history: int = Field(
        default=250, ge=1, description="sessions needed: critical where no entity has them; one that is short among others is a warning"
    )
    maximum_gap: int = Field(default=5, ge=0, description="sessions of the calendar that may be missing in a row; more is a warning")
    stale_days: int = Field(default=10, ge=2, description="equal closes in a row, with no suspension, that make a price stale")
    jump: float = Field(default=0.6, gt=0, description="absolute one-session log return that looks like a split or a change of unit")
    price_limit: float | None = Field(
        default=None,
        gt=0,
        description="daily limit of the market (0.10 in Shanghai): a move half as much again is a jump, a limit day is none",
    )
    allow_negative: bool = Field(default=False, description="prices may be negative (WTI in April 2020)")
    future_days: int = Field(default=0, ge=0, description="days after now that a date may lie")
    maximum_quarantined: float = Field(
        default=0.05, ge=0, le=1, description="share of the rows that quarantine may take (five rows always); more is critical"
    )
    severity: dict[str, Literal["critical", "row", "warning", "off"]] = Field(
        default_factory=dict,
        description="a rule's name to critical (the run stops), row (the row is quarantined), warning (it is reported) or off",
    )


class Feature(Settings):
    """One feature column. `kind` is one of FEATURES in pipelines/features/kinds.py.

    `shift` moves it by sessions: 1 is yesterday's value. A negative one would read the future, and is refused.
    """

    kind: str = Field(description="what is made of the rows, as the table of kinds says")
    name: str | None = Field(default=None, description="the column's name; none: made of the kind and what it takes")
    column: str | None = Field(default=None, description="the clean column it is made of, where the kind needs one")
    window: int | None = Field(default=None, ge=1, le=2000, description="sessions, for rolling features")
    shift: int = Field(
        default=0, ge=0, le=250, description="sessions that it is moved back by: 1 is yesterday's value; a negative one is refused"
    )
    key: str | Annotated[tuple[str, ...], Field(min_length=1, max_length=5)] | None = Field(
        default=None,
        description="for features of earlier rows: the clean column (or columns, together) whose equal rows count (customer, terminal); "
        "none: the entity",
    )
    days: int | None = Field(default=None, ge=1, le=36_500, description="how long before a row earlier rows count; none: all of them")
    delay_days: int | None = Field(
        default=None, ge=0, le=36_500, description="days after its row before which no outcome counts as known, whatever the problem says"
    )

    @field_validator("shift", mode="before")
    @classmethod
    def _past_alone(cls, value: Any) -> Any:
        if isinstance(value, int | float) and value < 0:
            raise ValueError(
                f"{value} is the value of a later row, which nobody knows at the row's own time: a model learns the future from it and "
                "fails in use. Write 0 or more (1: the value of the row before); what comes later is the problem's target"
            )
        return value

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns whose equal rows count."""
        return (self.key,) if isinstance(self.key, str) else self.key or ("entity",)

    @property
    def label(self) -> str:
        """The feature's column name."""
        if self.name:
            return self.name
        parts = [self.kind, self.column, str(self.window) if self.window else None, f"shift{self.shift}" if self.shift else None]
        parts[2:2] = [
            *(self.key_columns if self.key else ()),
            f"{self.days}d" if self.days else None,
            f"after{self.delay_days}d" if self.delay_days else None,
        ]
        return "_".join(part for part in parts if part)


class Window(Settings):
    """How many observations a sample holds, and how many steps ahead its targets reach."""

    length: int = Field(
        default=60, ge=1, le=5000, description="observations of an entity in a row that a model reads; 1 where a sample is a row"
    )
    horizon: int = Field(default=5, ge=1, le=250, description="steps ahead that targets reach")
    maximum_gap: int = Field(default=5, ge=0, description="sessions that may be missing inside a window; a longer gap forbids it")


class Folds(Settings):
    """Walk-forward splits, anchored to the calendar: test periods of `months` from `first_test` on, as many as have ended or begun."""

    kind: Literal["time"] = "time"
    first_test: datetime.date = Field(description="where the first test period begins")
    months: int = Field(default=12, ge=1, le=120, description="length of a test period")
    validation_months: int = Field(default=12, ge=1, le=120, description="the last part of training, for early stopping")
    embargo: int = Field(default=0, ge=0, le=500, description="sessions left out after a label span, beside the purge")
    minimum_test: int = Field(default=20, ge=1, description="test dates a period needs to count; the newest may be incomplete")
    count: int | None = Field(default=None, ge=1, description="only the last so many test periods")


class StratifiedFolds(Settings):
    """Splits of rows that have no time: each part is tested once a repeat, with as many rows of each class as the others have.

    All rows of an entity are in one part. The report says that nothing here is walk-forward.
    """

    kind: Literal["stratified"] = "stratified"
    parts: int = Field(default=5, ge=2, le=50, description="of a repeat; each is the test part of one fold")
    repeats: int = Field(default=1, ge=1, le=50, description="times that the rows are dealt out anew")
    validation: float = Field(default=0.2, gt=0, le=0.5, description="part of the rows beside the test part, for early stopping and such")

    @property
    def embargo(self) -> int:
        """None: there is no time."""
        return 0


class Recipe(Settings):
    """A model of the zoo with its settings: what can be fitted again."""

    model: str = Field(description="a model of the zoo, by its name")
    settings: dict[str, Any] = Field(default_factory=dict, description="of that model; what is not named has the model's own default")

    @property
    def digest(self) -> str:
        return digest_json({"model": self.model, "settings": self.settings})


class Gate(Settings):
    """The rule that turns evaluations into a decision."""

    loss: str = Field(default="crps", description="the problem's loss that decides")
    level: float = Field(
        default=0.05, gt=0, lt=0.5, description="family-wise error over the life of the data; the lowest ever declared for them counts"
    )
    minimum_effect: float = Field(default=0.005, ge=0, lt=1, description="relative reduction of the loss that is worth a change")
    new_dates: int = Field(
        default=60,
        ge=30,
        description="test dates that nobody has looked at, from which on the next challenge opens; fewer stay sealed until then",
    )
    minimum_dates: int = Field(default=250, ge=20, description="test dates below which nothing is decided for a candidate")
    refresh_dates: int = Field(
        default=20, ge=1, description="test dates that must be new before the champion's recipe is fitted again and replaces it"
    )
    backtests: tuple[str, ...] = Field(
        default=(),
        description="the problem's checks over all test dates; who fails one is not promoted, and the champion is demoted. Of risk: "
        "kupiec, christoffersen_independence, christoffersen, expected_shortfall, traffic_light; of generate: diversity, stylised_facts",
    )
    backtest_level: float = Field(default=0.01, gt=0, lt=0.5, description="of each backtest that has a p-value")
    approval: Literal["none", "required"] = Field(
        default="none", description="required: an accepted version waits as `pending` until a person approves it"
    )
    four_eyes: bool = Field(default=False, description="two different people must approve")

    @model_validator(mode="after")
    def _eyes(self) -> Gate:
        if self.four_eyes and self.approval != "required":
            raise ValueError("four_eyes asks for two approvals where none is required: set `approval: required` too")
        return self
