"""What a person sees of a run in the Prefect UI: tables and a decision in words."""

from __future__ import annotations

from typing import Any

from pipelines.definition import Definition
from pipelines.manifests import CleanManifest, Decision, Evaluation


def publish_validation(definition: Definition, clean: CleanManifest) -> None:
    """The contract's rules and what each found."""
    from prefect.artifacts import create_table_artifact

    rows = [
        {"rule": rule.rule, "severity": rule.severity, "passed": rule.passed, "unexpected": rule.unexpected, "detail": rule.detail}
        for rule in clean.rules
    ]
    create_table_artifact(table=rows, key=f"{definition.name}-validation", description=f"Contract of {definition.name} as of {clean.as_of}")


def publish_training(definition: Definition, evaluation: Evaluation, decision: Decision) -> None:
    """The leaderboard as a table, the decision as text."""
    from prefect.artifacts import create_markdown_artifact, create_table_artifact

    rows: list[dict[str, Any]] = []
    for candidate in evaluation.candidates:
        row: dict[str, Any] = {"candidate": candidate.candidate, "family": candidate.family, "baseline": candidate.baseline}
        row.update({metric.name: metric.value for metric in candidate.metrics})
        row.update({f"p against {comparison.against}": comparison.p_value for comparison in candidate.comparisons})
        rows.append(row)
    create_table_artifact(table=rows, key=f"{definition.name}-leaderboard", description=evaluation.protocol)
    text = f"# {definition.title or definition.name}\n\n**{decision.verdict}**: {decision.reason}\n\nas of {evaluation.as_of}\n"
    create_markdown_artifact(markdown=text, key=f"{definition.name}-decision", description=decision.verdict)
