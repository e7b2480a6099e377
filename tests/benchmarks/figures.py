"""Where benchmarks leave their figures: one JSON object a line."""

from __future__ import annotations

import datetime
import json
import os
import platform
import tempfile
from pathlib import Path


def figures_path() -> Path:
    """The file that FINFLOW_FIGURES names, else one in the temporary folder."""
    named = os.environ.get("FINFLOW_FIGURES")
    return Path(named) if named else Path(tempfile.gettempdir()) / "finflow-figures.jsonl"


def record(name: str, **values: float | int | str) -> None:
    """Append a benchmark's figures to the file, and print them.

    Args:
        name: what was measured, as `contract of a million rows`.
        values: figures by name, the main one first; write the unit into the name (seconds, megabytes, rows_per_second), ratios as plain
            numbers. `at_most` or `at_least` is what is wanted of the main one.
    """
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in values.items()}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    about = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), "measured": today}
    line = json.dumps({"name": name, **rounded, **about}, ensure_ascii=False)
    path = figures_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    print(f"\n{line}")
