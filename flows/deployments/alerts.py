"""Alerts: what the servers have raised, kept as JSON lines under the home and sent to a webhook where there is one."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

from finflow.pipelines.core.home import Home
from finflow.pipelines.core.redaction import redacted

#: a line of the log and a webhook's message stay this short
LONGEST_TEXT = 4000


def alerts_path(home: Home) -> Path:
    """The log: one JSON object a line, oldest first."""
    return home.root / "alerts.jsonl"


def new_alert(alert: str, text: str) -> dict[str, Any]:
    """An alert as it is kept and sent: `at` (ISO, UTC), `alert` (what kind), `text`; secrets are hidden."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"at": now, "alert": alert, "text": redacted(text)[:LONGEST_TEXT]}


def keep_alert(home: Home, alert: dict[str, Any]) -> None:
    """Append an alert to the log in one write, so that two processes' lines never mix."""
    path = alerts_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(alert, ensure_ascii=False) + "\n").encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def read_alerts(home: Home, last: int) -> list[dict[str, Any]]:
    """The newest `last` alerts, newest last. A line that a crash cut short is passed over."""
    try:
        lines = alerts_path(home).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    alerts: list[dict[str, Any]] = []
    for line in reversed(lines):
        if len(alerts) == last:
            break
        try:
            alerts.append(json.loads(line))
        except ValueError:
            continue
    return alerts[::-1]
