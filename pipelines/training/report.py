"""The written report of a training: what was tried on which data, how it fared, what was decided and why. Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, SampleManifest
from finflow.pipelines.core.markdown import number, p_value, page_of, table_lines, with_interval
from finflow.pipelines.core.whole_files import write_whole
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition, problem_of
from finflow.pipelines.evaluation.augmentation import Reports, augmentation_text
from finflow.pipelines.evaluation.comparisons import BEST_DATES
from finflow.pipelines.evaluation.store import read_tables
from finflow.pipelines.lake.pending import PENDING, command
from finflow.pipelines.training.leaks import leakage_lines
from finflow.pipelines.training.look_words import look_figures, look_lines

if TYPE_CHECKING:
    from finflow.pipelines.lake.promotions import PromotionRow

#: the leaderboard's column of what a few dates make
BEST = f"{BEST_DATES} best dates"


def write_report(
    context: Context,
    evaluation: Evaluation,
    row: PromotionRow,
    champion: PromotionRow | None,
    samples: SampleManifest,
    *,
    failed: Mapping[str, str] | None = None,
    plots: Mapping[str, Path] | None = None,
    reports: Reports = (),
) -> Path:
    """Write the report under `home.reports/<definition>/`; the same run again writes the same file.

    Args:
        row: the recorded decision.
        champion: the row of who was champion after it; None while there was none.
        failed: why a candidate could not be fitted, by its name.
        plots: SVG files by their captions; the HTML holds them whole.
        reports: of every fit.

    Returns:
        The HTML file; the Markdown lies beside it, with the suffix .md.
    """
    definition = context.definition
    folder = context.home.reports / definition.name
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{evaluation.as_of[:10]}-{evaluation.run_key[:12]}"
    text = report_text(definition, evaluation, row, champion, samples, failed=failed, reports=reports)
    page = page_of(definition.title or definition.name, text, plots or {})
    write_whole(folder / f"{name}.md", text)
    write_whole(folder / f"{name}.html", page)
    return folder / f"{name}.html"


def newest_report(context: Context) -> dict[str, Any]:
    """The text and the HTML file of the report that was written last.

    Raises:
        FinflowError: none was written yet.
    """
    definition = context.definition
    pages = sorted((context.home.reports / definition.name).glob("*.md"), key=lambda path: path.stat().st_mtime_ns)
    if not pages:
        raise FinflowError(f"There is no report of {definition.name} yet: finflow train {definition.name}")
    text = pages[-1].read_text(encoding="utf-8")
    return {"definition": definition.name, "text": text, "markdown": str(pages[-1]), "html": str(pages[-1].with_suffix(".html"))}


def report_text(
    definition: Definition,
    evaluation: Evaluation,
    row: PromotionRow,
    champion: PromotionRow | None,
    samples: SampleManifest,
    *,
    failed: Mapping[str, str] | None = None,
    reports: Reports = (),
) -> str:
    """The report as Markdown: also the note of the MLflow parent run."""
    lines = [f"# {definition.title or definition.name}, as of {evaluation.as_of[:10]}", ""]
    if definition.simulated:
        lines += ["**The data are SIMULATED.** Nothing here says anything about a market.", ""]
    stands = "none yet." if champion is None else f"**{champion.candidate}**, version {champion.version}."
    lines += [f"> **{row.verdict.upper()}.** {row.reason} Champion: {stands}", ""]
    if row.verdict == PENDING:
        lines += [
            f"Version {row.version} waits for a person: `{command('approve', definition.name, row.version)}`, or `finflow reject`.",
            "",
        ]
    lines += figures_text(definition, evaluation, failed or {}, reports)
    lines += leakage_lines(row.evidence)
    lines += look_lines(look_figures(evaluation, row.evidence))
    lines += protocol_text(definition, evaluation, samples)
    if row.challenge:
        lines.append(
            f"- Challenge {row.challenge} on these data; level spent on it: {row.level:.4g} (of {definition.gate.level:g} in all)."
        )
    lines += contract_text(samples)
    return "\n".join(lines).rstrip() + "\n"


def figures_text(definition: Definition, evaluation: Evaluation, failed: Mapping[str, str], reports: Reports) -> list[str]:
    """The leaderboard, who fell out and why, the folds one by one, and what the problem adds; Markdown lines."""
    problem = problem_of(definition)
    lines = ["## Leaderboard", "", *leaderboard_table(evaluation, problem.shown), ""]
    lines += [
        f"Deciding loss: {evaluation.loss}, the mean over {evaluation.units}; lower is better; in brackets its 95 % interval. "
        "Against a baseline: the change of the loss (negative: a smaller loss, better), and p, one-sided, that the candidate is no better.",
        "",
        f"{BEST}: of the effect against the closest of those that a challenger must beat, the part that so few dates make; without them "
        "the sign must hold. A disaster that did not come on these dates is seen by no test on them.",
        "",
        confidence_text(evaluation),
        "",
    ]
    for name, reason in failed.items():
        lines.append(f"- **{name} failed** and is not compared: {reason}")
    invalid = [entry for entry in evaluation.candidates if entry.invalid and entry.candidate not in failed]
    lines += [f"- **{entry.candidate} is not promotable**: {entry.invalid}" for entry in invalid]
    lines += checks_text(definition, evaluation)
    lines += ["", "## Test period by test period", "", *fold_table(evaluation), ""]
    lines += problem.sections(read_tables(evaluation), evaluation)
    lines += augmentation_text(reports)
    return lines


def protocol_text(definition: Definition, evaluation: Evaluation, samples: SampleManifest) -> list[str]:
    """What the figures rest on: folds, data, samples, seeds; Markdown lines."""
    clean, problem = samples.clean, problem_of(definition)
    lines = ["## Protocol", "", evaluation.protocol, ""]
    if not any(fold.stratified is not None for fold in evaluation.folds):
        lines += [f"- Test periods: {', '.join(f'{fold.test_start} to {fold.test_end}' for fold in evaluation.folds)}."]
    lines += [
        f"- Data: table `{clean.table}` version {clean.version} as of {clean.as_of}, {clean.rows:,} rows of {clean.entities} entities, "
        f"{clean.quarantined:,} rows quarantined, digest `{clean.digest}`.",
        f"- Samples: {samples.samples:,} windows of {definition.window.length} observations and {definition.window.horizon} steps ahead; "
        f"{samples.labelled:,} with a known outcome. Scalers and every other fitted step saw the training part of a fold alone.",
        f"- Seeds: a network is fitted {definition.seeds} times and its forecasts are averaged; the average is compared and registered.",
    ]
    if not problem.independent:
        lines.append("- Losses and returns are per session, not annualised; no costs, no trading rule.")
    return lines


def contract_text(samples: SampleManifest) -> list[str]:
    """The rules that were not met; Markdown lines."""
    warnings = [rule for rule in samples.clean.rules if not rule.passed]
    lines = ["", "## Contract", "", f"{len(samples.clean.rules)} rules checked, {len(warnings)} not met."]
    return lines + [f"- {rule.severity}: {rule.rule}: {rule.unexpected:,} rows. {rule.detail}" for rule in warnings]


def leaderboard_table(evaluation: Evaluation, shown: Sequence[str]) -> list[str]:
    """Best first, as a Markdown table; `shown` names metrics beside the deciding loss, of which those that a candidate has are columns."""
    there = {metric.name for entry in evaluation.candidates for metric in entry.metrics}
    columns = [name for name in shown if name in there and name != evaluation.loss]
    against = [entry.candidate for entry in evaluation.candidates if entry.baseline]
    header = [
        "candidate",
        "family",
        f"{evaluation.loss} [95 %]",
        *columns,
        *(f"against {name}" for name in against),
        BEST,
        "MCS p",
        "seeds",
    ]
    rows = [header]
    for entry in evaluation.candidates:
        metrics = {metric.name: metric for metric in entry.metrics}
        row = [f"{entry.candidate}{' (baseline)' if entry.baseline else ''}", entry.family, with_interval(metrics.get(evaluation.loss))]
        row += [number(metrics[name].value) if name in metrics else "-" for name in columns]
        row += [_against(entry, name) for name in against]
        rows.append([*row, _best_dates(entry), p_value(entry.confidence_p), str(entry.seeds)])
    return table_lines(rows)


def checks_text(definition: Definition, evaluation: Evaluation) -> list[str]:
    """What every candidate must pass (backtests that the gate names, limits of the problem), as a Markdown section; empty where nothing."""
    checks = [check for entry in evaluation.candidates for check in entry.checks]
    names = tuple(dict.fromkeys((*definition.gate.backtests, *(check.name for check in checks))))
    if not names:
        return []
    rows = [["candidate", *names]]
    for entry in evaluation.candidates:
        passed = {check.name: "passed" if check.passed else "**failed**" for check in entry.checks}
        rows.append([entry.candidate, *(passed.get(name, "-") for name in names)])
    level = f", each test at {100 * definition.gate.backtest_level:g} %" if definition.gate.backtests else ""
    lines = ["", f"## {'Backtests' if definition.gate.backtests else 'Limits'}", "", *table_lines(rows), ""]
    lines += [f"Over all {evaluation.units}{level}. Who fails one is not promoted.", ""]
    return lines + [f"- {entry.candidate}: {check.words}." for entry in evaluation.candidates for check in entry.checks]


def confidence_text(evaluation: Evaluation) -> str:
    """What the column `MCS p` means, and the test of all candidates together."""
    text = (
        "MCS p: the model confidence set's p-value (Hansen, Lunde and Nason 2011); what is above 0.05 cannot be told from the best."
        " It decides nothing."
    )
    if evaluation.spa_p is None:
        return text
    return text.removesuffix(" It decides nothing.") + (
        f" That no candidate is better than {evaluation.reference}: p {p_value(evaluation.spa_p)} over all candidates together (superior "
        "predictive ability, Hansen 2005). Both are for reading and decide nothing: the gate has its own test and its own level."
    )


def fold_table(evaluation: Evaluation) -> list[str]:
    """The deciding loss in each test period, as a Markdown table; where a candidate has several seeds, their own losses."""
    names = [fold.name for fold in evaluation.folds]
    rows = [["candidate", *names, "each seed alone"]]
    for entry in evaluation.candidates:
        seeds = ", ".join(number(value) for value in entry.seed_losses.values()) if len(entry.seed_losses) > 1 else "-"
        rows.append([entry.candidate, *(number(entry.fold_losses.get(name)) for name in names), seeds])
    return table_lines(rows)


def _best_dates(entry: CandidateEvaluation) -> str:
    """The part of its effect that the best dates make; `-` where it does not compete, or has no effect to divide."""
    closest = entry.closest
    return "-" if closest is None or closest.best_dates_share is None else f"{100 * closest.best_dates_share:.0f} %"


def _against(entry: CandidateEvaluation, baseline: str) -> str:
    for comparison in entry.comparisons:
        if comparison.against == baseline:
            if comparison.effect is None or comparison.p_value is None:
                return "not beaten"
            return f"{-100 * comparison.effect:+.2f} % (p {comparison.p_value:.3f})"
    return "-"
