"""What a person reads at the end of a command: one function a command, from the outcome to lines of text."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from finflow.flows.command_line.indented import indented_lines
from finflow.flows.command_line.leaderboard import LEGEND, checks_lines, leaderboard_lines
from finflow.flows.command_line.outcome import CommandOutcome
from finflow.pipelines.training.look_words import look_sentence
from finflow.pipelines.training.trial_words import folds_text, optimism_text


def validated_lines(outcome: CommandOutcome) -> list[str]:
    """Rules that did not hold, and what became of the rows."""
    broken = [rule for rule in outcome["rules"] if not rule["passed"]]
    lines = [
        f"contract: {outcome['rows']:,} rows of {outcome['entities']} entities clean, {outcome['quarantined']:,} quarantined, "
        f"{len(outcome['rules'])} rules checked, {len(broken)} not met"
    ]
    if outcome["raw"]["missing"]:
        lines.append(f"  missing in the source: {outcome['raw']['missing']['text']}")
    lines += [f"  {rule['severity']}: {rule['rule']}: {rule['unexpected']:,} rows. {rule['detail']}" for rule in broken]
    return lines


def list_definitions(outcome: CommandOutcome) -> list[str]:
    width = max((len(row["name"]) for row in outcome["definitions"]), default=0)
    return [f"{row['name']:<{width}} {row['title']}{' (simulated)' if row['simulated'] else ''}" for row in outcome["definitions"]]


def show(outcome: CommandOutcome) -> list[str]:
    return [outcome["yaml"].rstrip()]


def schema(outcome: CommandOutcome) -> list[str]:
    return [json.dumps(outcome["schema"], indent=2)]


def init(outcome: CommandOutcome) -> list[str]:
    return [f"Wrote {outcome['path']}. Read it, then: finflow validate {outcome['path']} and finflow train {outcome['path']}"]


def validate(outcome: CommandOutcome) -> list[str]:
    return [f"{outcome['definition']} as of {outcome['as_of'][:10]}", *validated_lines(outcome), f"Data Docs: {outcome['folder']}"]


def train(outcome: CommandOutcome) -> list[str]:
    """What was done, the leaderboard, the decision, where to read on."""
    return [*training_lines(outcome), LEGEND]


def training_lines(outcome: CommandOutcome) -> list[str]:
    """A training without the legend of its leaderboard."""
    data = outcome["data"]
    lines = [f"{outcome['title']}, as of {outcome['as_of'][:10]}" + (" (SIMULATED data)" if outcome["simulated"] else "")]
    lines.append(
        f"  {data['rows']:,} rows validated ({data['quarantined']} quarantined), {outcome['samples']:,} windows, "
        f"{len(outcome['folds'])} test periods, {outcome['fitted']} fits done, {outcome['reused']} reused"
    )
    lines += leaderboard_lines(outcome)
    lines += checks_lines(outcome)
    lines += [f"  failed: {name}: {reason}" for name, reason in outcome["failed"].items()]
    if "looks" in outcome:
        lines.append(f"  {look_sentence(outcome['looks'])}")
    return [*lines, decision_line(outcome), *waiting_lines(outcome["waiting"]), f"  report: {shown(outcome['report'])}"]


def try_candidates(outcome: CommandOutcome) -> list[str]:
    """On what recipes were compared, the leaderboard, each seed alone, and what may not be concluded."""
    data, found, wanted = outcome["data"], len(outcome["folds"]), outcome["test_periods"]
    simulated = " (SIMULATED data)" if outcome["simulated"] else ""
    lines = [f"{outcome['title']}{simulated}: a trial before {outcome['first_test']}. Nothing is decided; no test outcome was read."]
    lines += _long(
        f"{data['rows']:,} rows validated ({data['quarantined']} quarantined), {outcome['samples']:,} windows, "
        f"{outcome['fitted']} fits done, {outcome['reused']} reused. {folds_text(found, wanted, outcome['first_test'])}"
    )
    lines += [*leaderboard_lines(outcome), *checks_lines(outcome)]
    seeds = {row["candidate"]: row["seed_losses"] for row in outcome["leaderboard"] if len(row["seed_losses"]) > 1}
    alone = "; ".join(f"{name} {', '.join(f'{loss:.5f}' for loss in losses.values())}" for name, losses in seeds.items())
    lines += _long(f"each seed alone: {alone}") if alone else []
    lines += [f"  failed: {name}: {reason}" for name, reason in outcome["failed"].items()]
    lines += _long(optimism_text(outcome["definition"]).replace("`", ""))
    return [*lines, f"  report: {shown(outcome['report'])}", LEGEND]


def _long(text: str) -> list[str]:
    return _wrapped(text, "  ").splitlines()


def shown(path: str) -> str:
    """A path as a person would type it here."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def decision_line(outcome: CommandOutcome) -> str:
    """The decision in plain words."""
    decision = outcome["decision"]
    return _wrapped(f"decision: {decision['verdict'].upper()}. {decision['reason']}", "  ")


def waiting_lines(waiting: dict[str, Any] | None) -> list[str]:
    """What waits for a person, and the lines that decide."""
    if waiting is None:
        return []
    version = f"  version {waiting['version']} ({waiting['candidate']}, as of {waiting['as_of'][:10]})"
    said = f"{version} waits for a person since {waiting['since'][:19]}"
    if waiting["people"] > 1:
        said += f"; {waiting['people']} must approve, so far: {', '.join(waiting['approved_by']) or 'nobody'}"
    return [said, f"    {waiting['approve']}", f"    {waiting['reject']}"]


def _wrapped(text: str, indent: str) -> str:
    """Lines of at most 140 characters; names and dates stay whole."""
    return textwrap.fill(text, 140, initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False)


def score(outcome: CommandOutcome) -> list[str]:
    return [
        f"{outcome['definition']} as of {outcome['as_of'][:10]}: {outcome['rows']} rows by version {outcome['version']}, "
        f"{outcome['written']} of them new, {outcome['in_sample']} in-sample (predictions table version {outcome['table_version']})"
    ]


def backfill(outcome: CommandOutcome) -> list[str]:
    """What ran, or would run, date by date where there are few; of many those that failed, and of a dry run every date that would run."""
    dates, mode = outcome["dates"], outcome["mode"]
    lines = [outcome["summary"]]
    if mode == "dry-run":
        rows = {row["date"]: row for row in dates}
        shown = [rows[date] for date in outcome["will_run"]] if len(dates) > 20 else dates
    elif len(dates) <= 20 or mode == "status":
        shown = dates
    else:
        shown = [row for row in dates if row["after"] == "failed"]
    for row in shown:
        reason = f"  {row['reason']}" if row.get("reason") else ""
        lines.append(
            f"  {row['date']}  {row['before']:<9} -> {row['after']:<9} rows {row['rows']}  version {row['version'] or '-'}{reason}"
        )
    return lines


def status(outcome: CommandOutcome) -> list[str]:
    return indented_lines(outcome)


def history(outcome: CommandOutcome) -> list[str]:
    """A line a decision, and beneath it the reason; of looks, a line a look."""
    if "looks" in outcome:
        return looks(outcome)
    lines = []
    for row in outcome["decisions"]:
        lines.append(
            f"{row['recorded_at'][:19]}  {row['verdict']:<14} {row['candidate']:<18} version {row['version'] or '-':<4} "
            f"as of {row['effective_as_of'][:10]}"
        )
        lines.append(_wrapped(row["reason"], "    "))
    lines += waiting_lines(outcome["waiting"])
    return lines or [f"No decision has been made for {outcome['definition']}: finflow train {outcome['definition']}"]


def looks(outcome: CommandOutcome) -> list[str]:
    """A line a look at these data, whatever definition it went by."""
    lines = []
    for row in outcome["looks"]:
        opened = f"challenge {row['challenge']}, level {row['spent']:.4f}" if row["challenge"] else "no challenge"
        sealed = f", {row['sealed']} sealed" if row["sealed"] else ""
        lines.append(
            f"{row['recorded_at'][:19]}  {row['definition']:<20} {row['purpose']:<9} {row['dates']:>6,} dates to {row['last_date']}{sealed}"
            f"; {len(row['recipes'])} recipes by {row['loss']}; {opened}"
        )
    return lines or [f"Nobody has looked at the data of {outcome['definition']}: finflow train {outcome['definition']} does."]


def report(outcome: CommandOutcome) -> list[str]:
    return [outcome["text"].rstrip(), "", f"HTML: {outcome['html']}"]


def export(outcome: CommandOutcome) -> list[str]:
    return [f"Wrote {outcome['rows']:,} rows to {outcome['path']}"]


def check_leakage(outcome: CommandOutcome) -> list[str]:
    lines = []
    for check in outcome["checks"]:
        word = "passed" if check["passed"] else "FAILED" if check["tried"] else "not tried"
        lines.append(f"{word}  {check['name']}: {check['detail']}")
    verdict = "No leakage was found." if outcome["ok"] else f"LEAKAGE: {', '.join(outcome['columns']) or 'see above'}."
    return [*lines, verdict]


def rollback(outcome: CommandOutcome) -> list[str]:
    return [decision_line(outcome).strip()]


def verify(outcome: CommandOutcome) -> list[str]:
    """A line a decision, what was checked of it, and every fault in words."""
    head = f"{'':>4}  {'recorded':<19}  {'verdict':<14} {'candidate':<18} {'chain':<17} {'losses':<11} {'figures':<11} version"
    lines = [f"{outcome['definition']} in {outcome['lake']}", head]
    for row in outcome["decisions"]:
        cells = {part: _checked(row[part]) for part in ("chain", "losses", "figures", "files")}
        lines.append(
            f"{row['sequence']:>4}  {row['recorded_at'][:19]}  {row['verdict']:<14} {row['candidate']:<18} {cells['chain']:<17} "
            f"{cells['losses']:<11} {cells['figures']:<11} {row['version'] or '-'} {cells['files']}"
        )
    lines += [_wrapped(f"FAILED  {fault}", "") for fault in outcome["faults"]]
    lines += [_wrapped(f"note: {note}", "") for note in outcome["notes"]]
    whole = "The record is whole, and its decisions follow from what they were made on."
    verdict = whole if outcome["ok"] else "The record does NOT verify."
    return [*lines, f"{verdict} Head: {outcome['head'] or 'none'}"]


def _checked(text: str) -> str:
    """`passed` and `FAILED` as they are, what cannot be said as a dash."""
    word = text.partition(":")[0]
    return word if word in ("passed", "FAILED", "not there", "before the chain") else "-"


def ui(outcome: CommandOutcome) -> list[str]:
    return [] if outcome["running"] else ["Both UIs are stopped."]


def demo(outcome: CommandOutcome) -> list[str]:
    """Under 40 lines that a newcomer understands."""
    market, signal = training_lines(outcome["index_price"]), training_lines(outcome["demo_signal"])
    lines = [f"1. {market[0]}", *market[1:], f"2. {signal[0]}", *signal[1:], LEGEND, "3. Predictions of index-price"]
    lines += [f"  {line}" for line in score(outcome["score"])]
    counted = f"{outcome['fitted']} fits done, {outcome['reused']} reused, {outcome['written']} rows written"
    browser = f"{counted}, in {outcome['seconds']:.0f} s. Next, in the browser: `make ui` (or `finflow ui`) serves, until Ctrl-C,"
    lines += [f"  {outcome['backfill']['summary']}", browser]
    for one in outcome.get("look", ()):
        lines += [f"  {one['address']}", f"    {one['see']}"]
    return [
        *lines,
        "and in the shell: `finflow check-leakage index-price` proves that nothing leaks; `finflow init YOUR.csv` drafts a definition",
        "  of your own data, and `finflow train YOUR.yaml` trains it.",
    ]


def up(outcome: CommandOutcome) -> list[str]:
    if "servers" in outcome:
        return _health(outcome)
    if outcome["started"]:
        begun = f"Started: {', '.join(outcome['started'])} ({outcome['seconds']:.0f} s)."
    else:
        begun = "Everything ran already."
    lines = [
        f"Prefect  {outcome['prefect']}",
        f"MLflow   {outcome['mlflow']}",
        f"State    {'PostgreSQL ' + outcome['database'] if outcome['database'] else 'SQLite'}; logs and process ids in {outcome['logs']}",
    ]
    if outcome["secure"]:
        lines.append(f"Sign in as finflow; the passwords are in {outcome['logs']}/secrets, which only you can read.")
    if outcome["elsewhere"]:
        lines.append(f"{' and '.join(outcome['elsewhere'])} in this shell send commands to other servers: unset them to use these.")
    lines.append(f"{len(outcome['deployments'])} deployments. {begun} `finflow up --check` looks, `finflow down` stops.")
    return lines


def _health(outcome: CommandOutcome) -> list[str]:
    if not outcome["up"]:
        return ["No servers of this home run: `finflow up` starts them."]
    lines = []
    for server in outcome["servers"]:
        state = "healthy" if server["healthy"] else f"NOT HEALTHY: {server['detail']}; see {server['log']}"
        lines.append(f"{server['name']:8} {server['address'] or '':28} {state}")
    return lines if outcome["ok"] else [*lines, "`finflow up` starts again what does not run."]


def down(outcome: CommandOutcome) -> list[str]:
    if not outcome["stopped"]:
        return ["Nothing of this home was running."]
    killed = f" {outcome['killed']} did not end when asked and were killed." if outcome["killed"] else ""
    return [f"Stopped: {', '.join(outcome['stopped'])}.{killed}"]


def approve(outcome: CommandOutcome) -> list[str]:
    return [decision_line(outcome).strip(), *waiting_lines(outcome["waiting"])]


reject = approve


def monitor(outcome: CommandOutcome) -> list[str]:
    """What alarms, part by part what was measured, and what could not be."""
    checks, champion = outcome["checks"], outcome["champion"]
    who = "no champion" if champion is None else f"champion {champion['candidate']}, version {champion['version']}"
    head = f"{outcome['title']}, monitored as of {outcome['as_of'][:10]}" + (" (SIMULATED data)" if outcome["simulated"] else "")
    lines = [f"{head}: {who}"]
    lines += [f"  ALARM  {alarm}" for alarm in outcome["alarms"]] or ["  no alarm"]
    for part in dict.fromkeys(one["part"] for one in checks):
        mine = [one for one in checks if one["part"] == part]
        measured = [one for one in mine if one["status"] == "measured"]
        alarms = sum(one["alarm"] for one in measured)
        if measured and part in ("features", "predictions"):
            lines.append(f"  {part}: {len({one['subject'] for one in measured})} compared, {alarms} alarms")
        else:
            lines += [f"  {part}: {one['detail']}" for one in measured]
        lines += [f"  {part}: not measured: {one['detail']}" for one in mine if one["status"] != "measured"]
    written = f"{outcome['written']} rows written to {outcome['table']}" if outcome["written"] else "nothing written: recorded before"
    return [*lines, f"  report: {shown(outcome['report'])} ({written})"]


def alerts(outcome: CommandOutcome) -> list[str]:
    """When, what kind, and what happened; newest last."""
    lines = []
    for alert in outcome["alerts"]:
        head = f"{alert['at'][:19].replace('T', ' ')}  {alert['alert']:<11} "
        first, *more = textwrap.wrap(alert["text"], 140 - len(head)) or [""]
        lines += [head + first, *(" " * len(head) + line for line in more)]
    return lines or ["No alerts."]


def prune(outcome: CommandOutcome) -> list[str]:
    lines = freed_lines(outcome, "freed" if outcome["deleted"] else "would free")
    again = f"Nothing was deleted. To do it: finflow prune --keep {outcome['keep']} --yes"
    return lines if outcome["deleted"] or not outcome["freed"] else [*lines, again]


def freed_lines(outcome: CommandOutcome, verb: str) -> list[str]:
    """What goes, by kind."""
    head = f"--keep {outcome['keep']} {verb} {readable(outcome['bytes'])}; {outcome['kept_runs']} runs stay"
    return [head, *(f"  {one['count']:>7,} {one['kind']:<16} {readable(one['bytes'])}" for one in outcome["freed"]), *outcome["notes"]]


def readable(size: float) -> str:
    """Bytes as a person says them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
