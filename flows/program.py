"""The name by which a person started this program, so that the commands it prints run as they stand."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NAME = "finflow"
#: every command of flows/command_line/app.py (a test holds this; the list is not read from there, because that file needs this one)
COMMANDS = (
    *("alerts", "approve", "backfill", "check-leakage", "demo", "down", "export", "history", "init", "list", "monitor", "prune", "reject"),
    *("report", "rollback", "schema", "score", "show", "status", "train", "try", "ui", "up", "validate", "verify"),
)
_COMMAND = re.compile(rf"(?<![\w/.-]){NAME}(?= (?:{'|'.join(COMMANDS)})\b)")


def program() -> str:
    """`finflow` where a shell finds this program by that name; else the path that was typed (`.venv/bin/finflow`), quoted for a shell.

    Started otherwise (`python -m finflow.flows`, a test, a worker), it is `finflow`.
    """
    started = Path(sys.argv[0])
    if started.name != NAME:
        return NAME
    on_path = shutil.which(NAME)
    if on_path is not None and Path(on_path).resolve() == started.resolve():
        return NAME
    # `make demo` starts .venv/bin/finflow and a shell's PATH may hold no such name: what was typed is what can be typed again.
    return shlex.quote(sys.argv[0])


def as_started(text: str) -> str:
    """A text for a person, with `finflow COMMAND` written as it was started; other mentions of finflow stay words."""
    name = program()
    if name == NAME:
        return text
    return _COMMAND.sub(lambda _: name, text)


def version_text() -> str:
    """What `finflow --version` prints: the release that is installed."""
    try:
        return f"{NAME} {version(NAME)}"
    except PackageNotFoundError:
        return f"{NAME} (not installed: run from its sources)"
