"""What a report says of an evaluation of outcomes beside its leaderboard, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from finflow.pipelines.core.markdown import number, p_value, table_lines, with_interval
from finflow.pipelines.problems.outcome_fairness import LIMITS, SMALL
from finflow.pipelines.statistics.repeated_splits import mean_over_splits

if TYPE_CHECKING:
    import pandas as pd

    from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation

#: metrics of probabilities and of decisions, a table each
CALIBRATION = (
    *("brier_skill", "calibration_slope", "calibration_intercept", "top_decile_error"),
    *("calibration_error", "calibration_error_chance"),
)
COSTS = ("cost", "cost_accept_all", "cost_refuse_all", "cost_saved", "accuracy")
#: features and scores that a table of stability shows, the least stable first
SHOWN = 15
#: PSI that the trade calls a shift (Siddiqi, 2006)
SHIFT = 0.25


def outcome_sections(tables: Mapping[str, pd.DataFrame], evaluation: Evaluation, classes: Sequence[str]) -> list[str]:
    """Differences, ranking by period, calibration, costs, what is found at the top of a day, fairness, stability: lines of Markdown.

    Args:
        tables: of `Outcome.tables`; what is absent has no section.
        classes: the two names; the last is the one that is looked for.
    """
    valid = [entry for entry in evaluation.candidates if not entry.invalid]
    unit = "entities" if any(fold.stratified is not None for fold in evaluation.folds) else "dates"
    lines: list[str] = []
    if "differences" in tables:
        lines += _differences(tables["differences"])
    if "periods" in tables:
        lines += _periods(tables["periods"], evaluation)
    lines += ["## Calibration", "", *_metrics(valid, CALIBRATION), ""]
    lines += [
        "Brier skill: over always saying the test samples' own base rate. Slope and intercept: 1 and 0 are right (Cox 1958). Top decile: "
        "mean probability less what came, among the tenth with the highest. Calibration error: ten bins of equal count, beside what a "
        "calibrated forecast has by chance if rows are independent; a constant passes it, and its interval lies too high, for draws add a "
        f"chance of their own. In brackets 95 % intervals, of resampled {unit}.",
        "",
    ]
    lines += ["## Costs", "", *_metrics(valid, COSTS), ""]
    lines += [
        f"Mean cost of a row, {'an entity' if unit == 'entities' else 'a date'} counting once: `{classes[1]}` where the probability "
        f"reaches the threshold of the costs (Elkan 2001), against treating all as `{classes[0]}` (accept all) and all as `{classes[1]}` "
        "(refuse all); saved: of the cheaper of the two.",
        "",
    ]
    top = [metric.name for metric in (valid[0].metrics if valid else ()) if "_top_" in metric.name]
    if top:
        lines += ["## Found at the top of each day", "", *_metrics(valid, top), ""]
        lines += ["Rows with equal scores share the last places. `entity_`: each entity is checked once a day, by its highest score.", ""]
    if "fairness" in tables:
        lines += _fairness(tables["fairness"], [entry.candidate for entry in valid], classes)
    if "stability" in tables:
        lines += _stability(tables["stability"])
    return lines


def _differences(table: pd.DataFrame) -> list[str]:
    shown = ("auc", "average_precision", "brier_skill", "cost")
    methods = list(dict.fromkeys(table["method"]))
    drawn = next(method for method in methods if "bootstrap" in method)
    others = [method for method in methods if method != drawn]
    header = ["candidate", "against", *(f"auc, {method}" for method in others), *(f"{name}, {drawn.split()[-1]}" for name in shown)]
    rows = [header]
    for (candidate, against, role), part in table.groupby(["candidate", "against", "role"], sort=False):
        cells = [_difference(part[part["method"] == method]) for method in others]
        cells += [_difference(part[(part["method"] == drawn) & (part["metric"] == name)]) for name in shown]
        rows.append([str(candidate), f"{against} ({role})", *cells])
    splits = (
        ", and of the AUC within each split, which allows for training parts that overlap (Nadeau and Bengio 2003)"
        if len(others) > 1
        else ", which allows for what all rows of a date share"
    )
    return [
        *("## Differences", ""),
        *table_lines(rows),
        "",
        "The candidate's figure less the other's, its 95 % interval, and p, two-sided, that there is none: DeLong's test (1988), and the "
        f"{drawn}{splits}. Each pair for itself, not corrected for their number: they decide nothing. All of them: "
        "`tables/differences.csv` of the evaluation.",
        "",
    ]


def _difference(part: pd.DataFrame) -> str:
    if part.empty or part["value"].isna().all():
        return "-"
    one = part.iloc[0]
    interval = "" if np.isnan(one["low"]) else f" [{one['low']:+.4f}, {one['high']:+.4f}] (p {p_value(one['p_value'])})"
    return f"{one['value']:+.4f}{interval}"


def _periods(table: pd.DataFrame, evaluation: Evaluation) -> list[str]:
    parts = next((fold.stratified.parts for fold in evaluation.folds if fold.stratified is not None), None)
    periods = list(dict.fromkeys(table["period"]))
    few = periods if len(periods) <= 12 else []
    what = "period" if parts is None else "split"
    rows = [["candidate", *(str(period) for period in few), f"mean over {what}s", "deviation"]]
    for candidate, part in table.groupby("candidate", sort=False):
        areas = part.set_index("period")["auc"].astype(np.float64)
        measured = areas.dropna()
        spread = number(float(measured.std(ddof=1))) if len(measured) > 1 else "-"
        cells = [number(None if np.isnan(areas.get(period, np.nan)) else float(areas[period])) for period in few]
        mean = number(float(measured.mean()) if len(measured) else None)
        if parts is not None:
            over = mean_over_splits(measured, parts)
            mean += "" if over.low is None else f" [{number(over.low)}, {number(over.high)}]"
        rows.append([str(candidate), *cells, mean, spread])
    first = table[table["candidate"] == table["candidate"].iloc[0]]
    alone = first[first["note"] != ""]
    lines = [f"## AUC, {what} by {what}", "", *table_lines(rows), ""]
    told = "" if parts is None else " The interval allows for training parts that overlap (Nadeau and Bengio 2003)."
    lines += [
        f"Each {what} by itself. The leaderboard's AUC ranks rows of all {what}s together, where a constant of each is not at 0.5.{told}",
        "",
    ]
    lines += [f"- {one['period']}: {one['note']} ({one['positives']} of {one['rows']:,} rows)." for _, one in alone.iterrows()]
    return [*lines, ""] if len(alone) else lines


def _metrics(entries: Sequence[CandidateEvaluation], names: Sequence[str]) -> list[str]:
    rows = [["candidate", *names]]
    for entry in entries:
        metrics = {metric.name: metric for metric in entry.metrics}
        cells = [with_interval(metrics[name]) if name in metrics and metrics[name].value is not None else "no value" for name in names]
        rows.append([entry.candidate, *cells])
    return table_lines(rows)


def _fairness(table: pd.DataFrame, candidates: Sequence[str], classes: Sequence[str]) -> list[str]:
    best = candidates[0]
    figures = ("base_rate", "selection_rate", "true_positive_rate", "false_positive_rate", "auc", "mean_probability", "calibration")
    lines = ["## Fairness", ""]
    for column, part in table[table["candidate"] == best].groupby("column", sort=False):
        rows = [[f"{column} ({best})", "rows", *figures]]
        for group, mine in part.groupby("group", sort=False):
            by_figure = {one["figure"]: one for one in mine.to_dict("records")}
            rows.append([str(group), f"{int(mine['rows'].iloc[0]):,}", *(_figure(by_figure[name]) for name in figures)])
        lines += [*table_lines(rows), ""]
        rows = [[f"{column}: against the largest group", "selection rate", "ratio", "true positive rate", "false positive rate", "AUC"]]
        for group, mine in list(part.groupby("group", sort=False))[1:]:
            by_figure = {one["figure"]: one for one in mine.to_dict("records")}
            cells = [_against(by_figure[name], "difference") for name in figures[1:5]]
            rows.append([str(group), cells[0], _against(by_figure["selection_rate"], "ratio"), *cells[1:]])
        lines += [*(table_lines(rows) if len(rows) > 1 else [f"All rows are of one group of {column}."]), ""]
    rows = [["candidate", "column", *(LIMITS[name][1] for name in ("selection_rate", "equal_opportunity", "false_positive_rate", "auc"))]]
    for key, part in table.groupby(["candidate", "column"], sort=False):
        judged = part[~part["small"].astype(bool) & part["value"].notna()]
        values = {name: judged.loc[judged["figure"] == name, "value"].to_numpy(dtype=np.float64) for name in figures[1:5]}
        spreads = [f"{np.ptp(values[name]):.3f}" if len(values[name]) > 1 else "-" for name in figures[1:5]]
        rows.append([*(str(name) for name in key), *spreads])
    lines += [*table_lines(rows), ""]
    lines += [
        f"Flagged: the probability of `{classes[1]}` reaches the threshold of the costs. Selection rate: part flagged; true and false "
        f"positive rate: part flagged of those that turned out `{classes[1]}` and `{classes[0]}`; calibration: mean probability less base "
        f"rate. In brackets 95 % intervals. * rests on fewer than {SMALL} entities, and no largest difference counts it. All: "
        "`tables/fairness.csv`.",
        "",
    ]
    return lines


def _figure(one: Mapping[Any, Any]) -> str:
    if np.isnan(one["value"]):
        return "no value"
    interval = "" if np.isnan(one["low"]) else f" [{one['low']:.3f}, {one['high']:.3f}]"
    return f"{one['value']:.3f}{interval}{'*' if one['small'] else ''}"


def _against(one: Mapping[Any, Any], what: str) -> str:
    if np.isnan(one[what]):
        return "-"
    sign = "+" if what == "difference" else ""
    low, high = one[f"{what}_low"], one[f"{what}_high"]
    interval = "" if np.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{one[what]:{sign}.3f}{interval}{'*' if one['small'] else ''}"


def _stability(table: pd.DataFrame) -> list[str]:
    periods = list(dict.fromkeys(table["period"]))[-12:]
    rows = [["what", *(str(period) for period in periods), "at most by chance", "missing now (before)"]]
    wide = table.pivot_table(index=["kind", "name"], columns="period", values="psi", sort=False)
    order = wide.max(axis=1).sort_values(ascending=False, kind="stable").index
    chosen = [key for key in order if key[0] == "score"] + [key for key in order if key[0] != "score"][:SHOWN]
    for kind, name in chosen:
        part = table[(table["kind"] == kind) & (table["name"] == name)].set_index("period")
        cells = ["-" if period not in part.index else _psi(float(part["psi"][period])) for period in periods]
        last = part.iloc[-1]
        missing = f"{last['missing']:.1%} ({last['reference_missing']:.1%})"
        rows.append([f"{kind} {name}", *cells, f"{float(part['chance'].max()):.3f}", missing])
    left = len(order) - len(chosen)
    return [
        *("## Stability", ""),
        *table_lines(rows),
        "",
        "Population stability index (Siddiqi 2006): of a feature, test period against its own fold's training part; of a score, against "
        "the first test period, from which it also moves because every period's model was fitted anew. Bold: above "
        f"{SHIFT:g}, which is called a shift. By chance: what independent rows of the same kind stay below with 95 %. "
        f"{f'{left} more stable features are' if left else 'All of it is'} in `tables/stability.csv`.",
        "",
    ]


def _psi(value: float) -> str:
    return f"**{value:.3f}**" if value > SHIFT else f"{value:.3f}"
