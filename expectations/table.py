"""The suite for any table of entities and times."""

from __future__ import annotations

from finflow.expectations.rule import Rule
from finflow.expectations.rules.constant import NotConstant
from finflow.expectations.rules.dates import NoFutureDates
from finflow.expectations.rules.empty import NoEmptyColumn
from finflow.expectations.rules.keys import KeyNotNull, UniqueKey
from finflow.expectations.rules.knowledge import KnownAfterClose
from finflow.expectations.rules.outcomes import BothClasses
from finflow.expectations.rules.shape import Columns, NotEmpty, Types
from finflow.expectations.rules.values import Finite, NotMissing
from finflow.expectations.tuning import Tuning


def table_rules(tuning: Tuning) -> list[Rule]:
    """Keys, numbers and dates; nothing about markets."""
    complete: list[Rule] = [NoEmptyColumn(tuning.columns)] if tuning.may_be_missing else [NotMissing(tuning.columns)]
    if tuning.outcome is not None:
        complete.append(BothClasses(*tuning.outcome))
    return [
        NotEmpty(),
        Columns(tuning.columns),
        Types(tuning.numbers),
        KeyNotNull(),
        UniqueKey(),
        NoFutureDates(tuning.latest),
        KnownAfterClose(),
        *complete,
        Finite(),
        NotConstant(by_entity=False),
    ]
