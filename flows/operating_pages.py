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
    from flows.pages import decision_line, waiting_lines

    return [decision_line(outcome).strip(), *waiting_lines(outcome["waiting"])]


reject = approve
