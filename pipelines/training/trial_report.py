"""The written report of a trial: how recipes fare on development folds, and what may not be concluded from it. Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from finflow.pipelines.core.markdown import page_of
from finflow.pipelines.core.whole_files import write_whole
from finflow.pipelines.training.report import contract_text, figures_text, protocol_text
from finflow.pipelines.training.trial_words import TITLE, folds_text, optimism_text, read_text

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Evaluation, SampleManifest
    from finflow.pipelines.definitions.context import Context
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.evaluation.augmentation import Reports
    from finflow.pipelines.samples.development import Development


def write_trial_report(
    context: Context,
    evaluation: Evaluation,
    samples: SampleManifest,
    allowed: Development,
    *,
    failed: Mapping[str, str],
    plots: Mapping[str, Path],
    reports: Reports,
) -> Path:
    """Write the report under `home.reports/<definition>/trials/`; the same trial again writes the same file.

    Args:
        failed, plots, reports: see `finflow.pipelines.training.report.write_report`.

    Returns:
        The HTML file; the Markdown lies beside it, with the suffix .md.
    """
    definition = context.definition
    folder = context.home.reports / definition.name / "trials"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{evaluation.as_of[:10]}-{evaluation.run_key[:12]}.html"
    text = trial_report_text(definition, evaluation, samples, allowed, failed, reports)
    write_whole(path.with_suffix(".md"), text)
    write_whole(path, page_of(f"{definition.title or definition.name}: trial", text, plots))
    return path


def trial_report_text(
    definition: Definition,
    evaluation: Evaluation,
    samples: SampleManifest,
    allowed: Development,
    failed: Mapping[str, str],
    reports: Reports,
) -> str:
    """The report as Markdown: also the note of the MLflow parent run."""
    lines = [f"# {definition.title or definition.name}", "", f"> **{TITLE}.** {read_text(allowed)} {optimism_text(definition.name)}", ""]
    if definition.simulated:
        lines += ["**The data are SIMULATED.** Nothing here says anything about a market.", ""]
    lines += [folds_text(len(evaluation.folds), allowed.periods, allowed.first_test), ""]
    if evaluation.champion is not None:
        lines += [f"The champion's recipe competes as {evaluation.champion}, fitted on the same folds, for information.", ""]
    lines += figures_text(definition, evaluation, failed, reports)
    lines += protocol_text(definition, evaluation, samples)
    lines += contract_text(samples)
    return "\n".join(lines).rstrip() + "\n"
