"""Rules as Great Expectations sees them: its own expectations, or a type of ours and the metric behind it.

Importing this file imports great_expectations; nothing imports it at the top.
"""

from __future__ import annotations

from typing import Any, ClassVar

import great_expectations.expectations as gx
import pandas as pd
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from finflow.expectations.rule import NAMED, Finding, Graded, Rule

METRIC = "finflow.rule"
# Great Expectations grades failures critical, warning or info.
SEVERITIES = {"critical": FailureSeverity.CRITICAL, "row": FailureSeverity.WARNING, "warning": FailureSeverity.INFO}


class RuleFinding(TableMetricProvider):
    """What a rule finds in the batch: an `finflow.expectations.rule.Finding`."""

    metric_name = METRIC
    value_keys = ("rule", "settings")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> Finding:
        batch, _, _ = execution_engine.get_compute_domain(domain_kwargs=metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE)
        return restore(metric_value_kwargs["rule"], metric_value_kwargs["settings"]).check(batch)


class ExpectRuleToHold(BatchExpectation):
    """The batch keeps a rule of finflow's that Great Expectations has no words for.

    Args:
        rule: the rule's name.
        settings: its fields.
    """

    rule: str
    settings: dict[str, Any]

    metric_dependencies: ClassVar[tuple[str, ...]] = (METRIC,)
    success_keys: ClassVar[tuple[str, ...]] = ("rule", "settings")
    args_keys: ClassVar[tuple[str, ...]] = ("rule", "settings")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        finding: Finding = metrics[METRIC]
        # Named as Great Expectations' own results, less `unexpected_count`, for which its page would draw a table of values.
        return {"success": finding.count == 0, "result": {"observed_value": finding.detail or "holds"}}


def restore(name: str, settings: dict[str, Any]) -> Rule:
    """The rule of that name with those fields."""
    return Rule.known[name](**{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()})


def expectations(graded: Graded, batch: pd.DataFrame) -> list[BatchExpectation]:
    """The expectations that a graded rule holds: Great Expectations' own where they say it, of at most NAMED columns; else ours, which
    takes any number of columns at once. Each names the rule in its `meta`."""
    rule = graded.rule
    meta = {"rule": rule.name, "severity": graded.severity, "stage": rule.stage, "remedy": rule.remedy}
    core = rule.core(batch)
    parts: list[BatchExpectation] = []
    if len(core) <= NAMED:
        parts = [getattr(gx, name)(**values, severity=SEVERITIES[graded.severity], meta=meta) for name, values in core]
    if not parts or rule.partly_core:
        told = f"{rule.name} ({graded.severity}): {rule.statement}".replace("$", "$$")
        severity = SEVERITIES[graded.severity]
        parts.append(ExpectRuleToHold(rule=rule.name, settings=rule.settings, description=told, severity=severity, meta=meta))
    return parts


def batch_of(context: Any, frame: pd.DataFrame, name: str) -> Any:
    """The frame (not a copy) as a batch of the context."""
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    return asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
