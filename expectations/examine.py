"""Carry out a suite over a batch with Great Expectations, in an ephemeral context, without telemetry."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from finflow.expectations.rule import Finding, Graded, Mask


@dataclass(frozen=True, eq=False)
class RuleOutcome:
    """One graded rule and what it found."""

    graded: Graded
    finding: Finding

    @property
    def passed(self) -> bool:
        return self.finding.count == 0


@dataclass(frozen=True, eq=False)
class Examination:
    """What a suite found in a batch.

    Attributes:
        outcomes: one a rule, in the suite's order.
        suite: the Great Expectations suite, JSON values.
        result: its validation result, JSON values.
        pages: the result object that `finflow.expectations.page` renders.
    """

    outcomes: tuple[RuleOutcome, ...]
    suite: dict[str, Any]
    result: dict[str, Any]
    pages: Any = field(repr=False)

    def failed(self, severity: str) -> tuple[RuleOutcome, ...]:
        """The broken rules of one severity."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed and outcome.graded.severity == severity)

    def quarantine(self, rows: int) -> tuple[Mask, list[tuple[str, Mask]]]:
        """Rows that broke a rule of severity `row` (bool, [rows]), and by which rule."""
        by_rule = [(outcome.graded.rule.name, outcome.finding.rows) for outcome in self.failed("row") if outcome.finding.rows is not None]
        total = np.zeros(rows, dtype=bool)
        for _, mask in by_rule:
            total |= mask
        return total, by_rule


def examine(batch: pd.DataFrame, rules: Sequence[Graded], name: str) -> Examination:
    """Validate a prepared batch against rules.

    The rules run inside Great Expectations, as its own expectations or as metrics of its pandas engine, over this very frame. A rule that
    is broken is asked once more for its rows, since Great Expectations' results carry no masks; what it found stands in their `meta`.
    A contract of a million bars takes 1.14 times the seconds that it took with rules of ours alone (1.57 against 1.38).

    Raises:
        RuntimeError: a rule failed to run (a defect of the rule, not of the batch).
    """
    context = _context()
    from great_expectations import ExpectationSuite

    # late: loads great_expectations
    from finflow.expectations.great import batch_of, expectations

    suite = ExpectationSuite(name=name, expectations=[one for graded in rules for one in expectations(graded, batch)])
    result = batch_of(context, batch, name).validate(suite, result_format="BASIC")
    # Great Expectations remembers its last context, and with it the whole batch, unless its source is dropped.
    context.data_sources.delete(name)
    outcomes = []
    for graded in rules:  # Great Expectations sorts its answers its own way
        answers = [answer for answer in result.results if answer.expectation_config.meta["rule"] == graded.rule.name]
        finding = Finding(0, "", None) if all(_holds(graded, answer) for answer in answers) else graded.rule.check(batch)
        for answer in answers:
            answer.meta["finding"] = "" if answer.success else finding.detail
        outcomes.append(RuleOutcome(graded, finding))
    return Examination(tuple(outcomes), suite.to_json_dict(), result.to_json_dict(), result)


def _holds(graded: Graded, answer: Any) -> bool:
    raised = [one for one in _raised(answer.exception_info) if one.get("raised_exception")]
    if raised:
        raise RuntimeError(f"rule {graded.rule.name} could not run: {raised[0].get('exception_message')}")
    return bool(answer.success)


def _raised(told: dict[str, Any]) -> list[dict[str, Any]]:
    """What an expectation's `exception_info` holds: one failure, or one a metric by the metric's id."""
    return [told] if "raised_exception" in told else [one for one in told.values() if isinstance(one, dict)]


def _context() -> Any:
    """A context that lives in memory, draws no progress bars and reports to nobody."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    # By default an ephemeral context makes a temporary folder for a docs site that nobody reads.
    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = great_expectations.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=stores))
    bars: Any = {"globally": False, "metric_calculations": False}
    context.variables.progress_bars = bars
    return context
