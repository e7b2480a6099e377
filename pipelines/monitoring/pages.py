"""The written report of a monitoring, Markdown and HTML, with its plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from finflow.pipelines.core.markdown import page_of, table_lines
from finflow.pipelines.core.whole_files import write_whole
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.monitoring_checks import COVERAGE, DATA, FEATURES, LOSS, PARTS, PREDICTIONS, MonitoringCheck, number
from finflow.pipelines.monitoring.plots import draw_monitoring
from finflow.pipelines.monitoring.result import Pages, WrittenPages

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.monitoring.result import MonitoringResult

_TITLES = {
    DATA: "Data",
    FEATURES: "Features against the champion's training data",
    PREDICTIONS: "Predictions against those of the training's test parts",
    LOSS: "Realised loss",
    COVERAGE: "Coverage of the intervals",
}


def write_pages(context: Context, result: MonitoringResult, pages: Pages) -> WrittenPages:
    """Write the report under `home.reports/<definition>/monitoring/`; the same monitoring again writes the same files."""
    definition = context.definition
    folder = context.home.reports / definition.name / "monitoring"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{result.as_of[:10]}-{result.key[:12]}"
    plots = draw_monitoring(definition, result, pages, folder / name)
    text = report_text(definition, result)
    write_whole(folder / f"{name}.md", text)
    write_whole(folder / f"{name}.html", page_of(f"{definition.title or definition.name}: monitoring", text, plots))
    return WrittenPages(folder / f"{name}.html", folder / f"{name}.md", plots)


def report_text(definition: Definition, result: MonitoringResult) -> str:
    """The report as Markdown: also the note of the MLflow run."""
    lines = [f"# {definition.title or definition.name}: monitoring as of {result.as_of[:10]}", ""]
    if definition.simulated:
        lines += ["**The data are SIMULATED.** Nothing here says anything about a market.", ""]
    lines += [f"> {headline(result)}", ""]
    lines += [f"- **Alarm**: {alarm}" + (" (new)" if alarm in result.new_alarms else "") for alarm in result.alarms]
    lines += [f"- Not measured, {one.part}: {one.detail}." for one in result.checks if not one.measured]
    for part in PARTS:
        rows = [one for one in result.checks if one.part == part and one.measured]
        if rows:
            lines += ["", f"## {_TITLES[part]}", "", *(_drift_table(rows) if part in (FEATURES, PREDICTIONS) else _table(rows))]
    return "\n".join([*lines, "", "## Protocol", "", *_protocol(definition, result)]).rstrip() + "\n"


def headline(result: MonitoringResult) -> str:
    """The outcome in one sentence."""
    measured = sum(one.measured for one in result.checks)
    missing = sorted({one.part for one in result.checks if not one.measured}, key=PARTS.index)
    said = f"**{len(result.alarms)} alarm{'s' if len(result.alarms) > 1 else ''}**" if result.alarms else "No alarm"
    who = "no champion" if result.champion is None else f"champion {result.champion['candidate']}, version {result.champion['version']}"
    left = f"; not measured: {', '.join(missing)}" if missing else ""
    return f"{said} in {measured} checks ({who}){left}."


def _table(checks: Sequence[MonitoringCheck]) -> list[str]:
    """A row a check."""
    rows = [["check", "subject", "value", "95 %", "alarm beyond", "in words"]]
    for one in checks:
        interval = "-" if one.low is None or one.high is None else f"{number(one.low)} to {number(one.high)}"
        rows.append([_bold(one.check, one), one.subject, number(one.value), interval, number(one.threshold), one.detail])
    return table_lines(rows)


def _drift_table(checks: Sequence[MonitoringCheck]) -> list[str]:
    """A row a subject, a column a distance, in brackets what an undisturbed window stays within."""
    headers = {"psi": "PSI", "ks": "KS", "shift": "mean moved by (deviations)", "spread": "deviation times"}
    rows = [["subject", *headers.values()]]
    for subject in dict.fromkeys(one.subject for one in checks):
        mine = {one.check: one for one in checks if one.subject == subject}
        rows.append([subject, *(_distance(mine.get(kind)) for kind in headers)])
    return table_lines(rows)


def _distance(one: MonitoringCheck | None) -> str:
    if one is None:
        return "-"
    bounds = number(one.high) if one.check in ("psi", "ks") else f"{number(one.low)} to {number(one.high)}"
    return f"{_bold(number(one.value), one)} ({bounds})"


def _bold(text: str, one: MonitoringCheck) -> str:
    return f"**{text}**" if one.alarm else text


def _protocol(definition: Definition, result: MonitoringResult) -> list[str]:
    settings = definition.monitoring
    lines = [
        f"- Data: table `clean/{definition.name}` version {result.data_version} as of {result.as_of}, digest `{result.data_digest}`.",
        f"- Drift: the last {settings.sessions} sessions. PSI (ten bins by the training data's quantiles; Siddiqi 2006), "
        "Kolmogorov-Smirnov distance, move of the mean, factor of the standard deviation. An alarm needs an effect that matters "
        f"(PSI {settings.psi:g}, KS {settings.ks:g}, {settings.shift:g} standard deviations, factor {settings.spread:g}) and one beyond "
        "what undisturbed windows of that length show in the training data itself, autocorrelation and clusters of volatility included. "
        f"The chance that an undisturbed window raises any alarm is meant to be {settings.level:g} over all features together; in brackets "
        "what such a window stays within. What the training data have seen before (a crash, say) is no drift.",
        "- Predictions are compared with those of the walk-forward test parts of the champion's training: both are out of sample.",
        f"- Loss and coverage: the last {settings.performance_sessions} scored sessions with known targets, none in-sample; what was "
        f"served live first. {definition.reference} is fitted on the rows that the champion was trained on. Intervals: block bootstrap "
        f"over dates. An alarm needs a loss more than {settings.loss:.1%} above the reference's (coverage more than "
        f"{settings.coverage:.1%} off) and p at most {settings.level:g}.",
        "- Each monitoring is one look. Looks at overlapping sessions agree; over a year there are about "
        f"{252 / settings.sessions:.0f} that do not overlap.",
    ]
    if result.champion is not None:
        lines.insert(
            1,
            f"- Champion: {result.champion['candidate']}, version {result.champion['version']}, trained as of {result.champion['as_of']}.",
        )
    return lines
