"""What a person reads at the end of the commands that operate finflow: one function a command."""

from __future__ import annotations

from typing import Any

Outcome = dict[str, Any]


def up(outcome: Outcome) -> list[str]:
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


def _health(outcome: Outcome) -> list[str]:
    if not outcome["up"]:
        return ["No servers of this home run: `finflow up` starts them."]
    lines = []
    for server in outcome["servers"]:
        state = "healthy" if server["healthy"] else f"NOT HEALTHY: {server['detail']}; see {server['log']}"
        lines.append(f"{server['name']:8} {server['address'] or '':28} {state}")
    return lines if outcome["ok"] else [*lines, "`finflow up` starts again what does not run."]


def down(outcome: Outcome) -> list[str]:
    if not outcome["stopped"]:
        return ["Nothing of this home was running."]
    killed = f" {outcome['killed']} did not end when asked and were killed." if outcome["killed"] else ""
    return [f"Stopped: {', '.join(outcome['stopped'])}.{killed}"]


def approve(outcome: Outcome) -> list[str]:
    from finflow.flows.command_line.pages import decision_line, waiting_lines

    return [decision_line(outcome).strip(), *waiting_lines(outcome["waiting"])]


reject = approve


def monitor(outcome: Outcome) -> list[str]:
    """What alarms, part by part what was measured, and what could not be."""
    from finflow.flows.command_line.pages import shown

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


def alerts(outcome: Outcome) -> list[str]:
    """When, what kind, and what happened; newest last."""
    from textwrap import wrap

    lines = []
    for alert in outcome["alerts"]:
        head = f"{alert['at'][:19].replace('T', ' ')}  {alert['alert']:<11} "
        first, *more = wrap(alert["text"], 140 - len(head)) or [""]
        lines += [head + first, *(" " * len(head) + line for line in more)]
    return lines or ["No alerts."]


def prune(outcome: Outcome) -> list[str]:
    lines = freed_lines(outcome, "freed" if outcome["deleted"] else "would free")
    again = f"Nothing was deleted. To do it: finflow prune --keep {outcome['keep']} --yes"
    return lines if outcome["deleted"] or not outcome["freed"] else [*lines, again]


def freed_lines(outcome: Outcome, verb: str) -> list[str]:
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
