"""What a person sees of a run in the Prefect UI: tables, progress, and a decision in words."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CandidateEvaluation, CleanManifest, Metric
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.fits.needs import TRIAL
from finflow.pipelines.tracking.store import store_client
from finflow.pipelines.training.leaderboard import view_address
from finflow.pipelines.training.look_words import look_sentence
from finflow.pipelines.training.trial_words import TITLE, optimism_text

if TYPE_CHECKING:
    from uuid import UUID

    from finflow.pipelines.core.manifests import Evaluation
    from finflow.pipelines.leakage.check import LeakageReport
    from finflow.pipelines.training.conclusion import Conclusion


def artifact_key(definition: str, what: str) -> str:
    """Prefect allows lower-case letters, digits and dashes."""
    return f"{definition}-{what}".replace("_", "-")


def publish_validation(definition: Definition, clean: CleanManifest) -> None:
    """The contract's rules and what each found, broken ones first."""
    from prefect.artifacts import create_table_artifact

    rows = [
        {
            "rule": rule.rule,
            "result": "ok" if rule.passed else rule.severity,
            "rows": f"{rule.unexpected:,}" if rule.unexpected else "",
            "detail": rule.detail,
        }
        for rule in sorted(clean.rules, key=lambda rule: rule.passed)
    ]
    text = (
        f"Contract of {definition.name} as of {clean.as_of[:16].replace('T', ' ')} UTC: {clean.rows:,} rows of {clean.entities:,} entities "
        f"are clean, {clean.quarantined:,} are in quarantine. Data Docs: `{Path(clean.folder) / 'data_docs.html'}`"
    )
    if clean.raw.missing is not None:
        text += f"\n\n**Missing in the source**: {clean.raw.missing.text}."
    create_table_artifact(table=rows, key=artifact_key(definition.name, "validation"), description=text)


def publish_leakage(definition: Definition, report: LeakageReport) -> None:
    """What was tried to make the future change the past, and what came of it; red where it did."""
    from prefect.artifacts import create_markdown_artifact

    verdict = "🟢 No leakage was found" if report.passed else "🔴 LEAKAGE: nobody is promoted"
    lines = [f"# {definition.title or definition.name}: {verdict}"]
    for check in report.checks:
        word = "🟢 passed" if check.passed else "🔴 **FAILED**" if check.tried else "not tried"
        lines.append(f"- {word}: {check.name}: {check.detail}")
    create_markdown_artifact(markdown="\n\n".join(lines), key=artifact_key(definition.name, "leakage"), description=verdict)


def publish_leaderboard(definition: Definition, evaluation: Evaluation, what: str = "leaderboard") -> None:
    """Every candidate, best first, in numbers that a person can read; `what` names the artifact: leaderboard, or trial."""
    from prefect.artifacts import create_table_artifact

    rows = [leaderboard_row(evaluation, place, entry) for place, entry in enumerate(evaluation.candidates, start=1)]
    text = f"{evaluation.protocol}\n\nChanges of the loss against a baseline: negative is better; p: that it is no better."
    if what == TRIAL:
        text = f"{TITLE}. {optimism_text(definition.name)}\n\n{text}"
    create_table_artifact(table=rows, key=artifact_key(definition.name, what), description=text)


def leaderboard_row(evaluation: Evaluation, place: int, entry: CandidateEvaluation) -> dict[str, Any]:
    """One line of the leaderboard."""
    loss = next((metric for metric in entry.metrics if metric.name == evaluation.loss), None)
    row = {
        "place": place,
        "name": entry.candidate,
        "role": "champion" if entry.candidate == evaluation.champion else "baseline" if entry.baseline else "candidate",
        "family": entry.family,
        f"{evaluation.loss.upper()} [95 %]": _interval(loss),
    }
    for other in evaluation.candidates:
        if other.baseline:
            comparison = next((one for one in entry.comparisons if one.against == other.candidate), None)
            row[f"against {other.candidate}"] = "" if comparison is None else _change(comparison.effect, comparison.p_value)
    if any(other.invalid for other in evaluation.candidates):
        row["not promotable"] = entry.invalid or ""
    if any(other.checks for other in evaluation.candidates):
        row["failed backtests"] = ", ".join(check.name for check in entry.failed_checks)
    return row


def publish_decision(context: Context, evaluation: Evaluation, conclusion: Conclusion) -> None:
    """The decision in words, with links to the MLflow run and the report."""
    from prefect.artifacts import create_markdown_artifact

    text = decision_text(context, evaluation, conclusion)
    create_markdown_artifact(markdown=text, key=artifact_key(context.name, "decision"), description=conclusion.decision.verdict)


def decision_text(context: Context, evaluation: Evaluation, conclusion: Conclusion) -> str:
    """The decision as Markdown."""
    decided, waiting = conclusion.outcome["decision"], conclusion.outcome.get("waiting")
    champion = decided["champion"]
    stands = "none" if champion["version"] is None else f"**{champion['candidate']}**, version {champion['version']}"
    lines = [
        f"# {context.definition.title or context.name}: {decided['verdict']}",
        str(decided["reason"]),
        f"Champion: {stands}. As of {evaluation.as_of[:10]}; {evaluation.dates:,} test dates "
        f"({evaluation.first_date} to {evaluation.last_date}), decided by {evaluation.loss}.",
    ]
    if "looks" in conclusion.outcome:
        lines.append(f"This was {look_sentence(conclusion.outcome['looks'])}.")
    if context.definition.simulated:
        lines.append("The data are **simulated**.")
    if waiting:
        lines.append(f"Version {waiting['version']} waits for a person: `{waiting['approve']}`, or the form of the deployment `approve`.")
    links = [*mlflow_links(context.home, conclusion.outcome["run_id"]), f"report: `{conclusion.outcome['report']}`"]
    return "\n\n".join([*lines, "\n".join(f"- {link}" for link in links)])


def mlflow_links(home: Home, run_id: str) -> list[str]:
    """The MLflow run and the leaderboard as Markdown: links where MLflow is a server, the run's id otherwise."""
    if not home.tracking_uri.startswith(("http://", "https://")):
        return [f"MLflow run `{run_id}` (`finflow ui` shows it)"]

    experiment = store_client(home).get_run(run_id).info.experiment_id
    address = urlsplit(home.tracking_uri)
    server = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path.rstrip('/')}"  # never a password
    return [
        f"[the candidates side by side in MLflow]({view_address(server, experiment)})",
        f"[the run in MLflow]({server}/#/experiments/{experiment}/runs/{run_id})",
    ]


class BackfillProgress:
    """A progress bar in the Prefect UI, moved on by `advance` from any thread."""

    def __init__(self, identity: UUID | None, definition: str, total: int) -> None:
        self._identity = identity
        self._definition = definition
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def advance(self) -> None:
        """One part more is done."""
        from prefect.artifacts import update_progress_artifact

        with self._lock:
            self._done += 1
            if self._identity is not None:
                told = f"Backfill of {self._definition}: {self._done} of {self._total} groups of dates"
                update_progress_artifact(self._identity, 100.0 * self._done / self._total, told)


def backfill_progress(definition_name: str, total: int) -> BackfillProgress:
    """Show a backfill of `total` parts in the Prefect UI; without a part there is nothing to show. Call inside a flow."""
    from prefect.artifacts import create_progress_artifact

    identity: Any = None
    if total:
        text = f"Backfill of {definition_name}: 0 of {total} groups of dates"
        identity = create_progress_artifact(0.0, key=artifact_key(definition_name, "backfill"), description=text)
    return BackfillProgress(identity, definition_name, total)


def _interval(metric: Metric | None) -> str:
    if metric is None or metric.value is None:
        return "not finite"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.4g}"
    return f"{metric.value:.4g} [{metric.low:.4g}, {metric.high:.4g}]"


def _change(effect: float | None, p_value: float | None) -> str:
    if effect is None:
        return ""
    chance = "" if p_value is None else ", p < 0.001" if p_value < 0.001 else f", p = {p_value:.3f}"
    return f"{-100 * effect:+.2f} %{chance}"
