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
class Outcome:
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

    outcomes: tuple[Outcome, ...]
    suite: dict[str, Any]
    result: dict[str, Any]
    pages: Any = field(repr=False)

    def failed(self, severity: str) -> tuple[Outcome, ...]:
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

    The rules run inside Great Expectations, as metrics of its pandas engine over this very frame. A rule that is broken is asked once more
    for its rows, since Great Expectations' results carry no masks.

    Raises:
        RuntimeError: a rule failed to run (a defect of the rule, not of the batch).
    """
    context = _context()
    from great_expectations import ExpectationSuite

    from finflow.expectations.great import batch_of, expectation

    suite = ExpectationSuite(name=name, expectations=[expectation(graded) for graded in rules])
    result = batch_of(context, batch, name).validate(suite, result_format="BASIC")
    # Great Expectations remembers its last context, and with it the whole batch, unless its source is dropped.
    context.data_sources.delete(name)
    outcomes = []
    for graded, answer in zip(rules, _in_order(result, rules), strict=True):
        if answer.exception_info.get("raised_exception"):
            raise RuntimeError(f"rule {graded.rule.name} could not run: {answer.exception_info.get('exception_message')}")
        finding = Finding(0, "", None) if answer.success else graded.rule.check(batch)
        outcomes.append(Outcome(graded, finding))
    return Examination(tuple(outcomes), suite.to_json_dict(), result.to_json_dict(), result)


def _in_order(result: Any, rules: Sequence[Graded]) -> list[Any]:
    """One answer a rule, in the rules' order: Great Expectations sorts them its own way."""
    answers = {answer.expectation_config.kwargs["rule"]: answer for answer in result.results}
    return [answers[graded.rule.name] for graded in rules]


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
