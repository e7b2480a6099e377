"""From a definition to the graded rules of its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.expectations.batch import NOT_VALUES
from finflow.expectations.rule import Graded, grade
from finflow.expectations.rules.quarantined import FewQuarantined
from finflow.expectations.suites import suites
from finflow.expectations.tuning import Tuning
from finflow.pipelines.core.calendars import end_of_days, published_at, sessions
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.features.kinds import CATEGORY

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


def columns_read(definition: Definition) -> tuple[str, ...]:
    """Value columns that the problem and the features name."""
    features = (name for feature in definition.features for name in (feature.column, *feature.key_columns) if name and name != "entity")
    return tuple(dict.fromkeys((*problem_of(definition).required, *features)))


def numbers_read(definition: Definition) -> tuple[str, ...]:
    """Those of `columns_read` that must hold numbers."""
    features = (feature.column for feature in definition.features if feature.column and feature.kind != CATEGORY)
    return tuple(dict.fromkeys((*problem_of(definition).numbers, *features)))


def graded_rules(definition: Definition, frame: pd.DataFrame, now: pd.Timestamp) -> list[Graded]:
    """The suite of the definition's contract, for this batch.

    Args:
        now: the instant (UTC) after which dates lie in the future.

    Raises:
        DefinitionError: `contract.severity` names no rule of the suite, or asks of a rule what it cannot do.
    """
    contract, problem = definition.contract, problem_of(definition)
    latest = (now.tz_convert("UTC").tz_localize(None) + pd.Timedelta(days=contract.future_days)).floor("s")
    tuning = Tuning(
        columns=columns_read(definition),
        numbers=numbers_read(definition),
        outcome=problem.outcome_values,
        may_be_missing=problem.admits_missing,
        present=tuple(str(name) for name in frame.columns if name not in NOT_VALUES and frame[name].notna().any()),
        latest=latest.isoformat(),
        calendar=definition.calendar,
        minimum_history=contract.minimum_history,
        maximum_gap=contract.maximum_gap,
        stale_days=contract.stale_days,
        jump=contract.jump,
        price_limit=contract.price_limit,
        allow_negative=contract.allow_negative,
    )
    # Its numbers are known only after the rules about rows; here it stands for its severity.
    rules = [*suites()[contract.kind](tuning), few_quarantined(definition, 0, 0)]
    try:
        return grade(rules, dict(contract.severity))
    except ValueError as error:
        raise DefinitionError(f"{definition.name}: contract: {error}.") from None


def few_quarantined(definition: Definition, lost: int, rows: int) -> FewQuarantined:
    """The rule about how much quarantine may take: `lost` of `rows` (by entity and time)."""
    return FewQuarantined(lost, rows, definition.contract.maximum_quarantined)


def calendar_sessions(definition: Definition, times: pd.Series) -> NDArray[np.datetime64] | None:
    """The calendar's sessions over the span of `times`: datetime64[D]; None without a calendar or a time."""
    known = times.dropna()
    if definition.calendar is None or known.empty:
        return None
    return sessions(definition.calendar, known.min(), known.max()).to_numpy().astype("datetime64[D]")


def first_known(definition: Definition, times: pd.Series) -> NDArray[np.datetime64]:
    """The first instants at which what rows of these times tell can be known: datetime64[us], UTC, naive; [rows].

    A bar's is its session's close, or where no calendar says when that is, the end of its day, by the source's zone or UTC, whichever
    comes first. Rows that happen at an instant (times that do not all stand at midnight) can be known from then on, and rows of a table
    that have a day and no calendar from the beginning of that day. `future_days` allows for rows that speak of what is to come.
    """
    own = times.to_numpy(dtype="datetime64[us]")
    instants = bool((own[~np.isnat(own)] != own[~np.isnat(own)].astype("datetime64[D]")).any())
    if instants or (definition.calendar is None and definition.contract.kind == "table"):
        ends = own
    else:
        ends = published_at(definition.calendar, 0, own).tz_localize(None).to_numpy(dtype="datetime64[us]")
        zone = getattr(definition.source, "timezone", None)
        if definition.calendar is None and zone is not None:
            ends = np.minimum(ends, end_of_days(times, zone).dt.tz_localize(None).to_numpy(dtype="datetime64[us]"))
    return np.asarray(ends - np.timedelta64(definition.contract.future_days, "D"))
