"""Turn the figures of a run of the benchmarks into a table in README.md beside this file.

python -m tests.benchmarks.render FIGURES.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
_ABOUT = ("name", "cores", "python", "measured")
_LIMITS = {"at_most": "at most", "at_least": "at least"}


def read_figures(path: Path) -> list[dict[str, Any]]:
    """The figures of a file of JSON lines, in the order in which they were first measured; of one name the last counts."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        found[one["name"]] = one
    return list(found.values())


def table(figures: list[dict[str, Any]]) -> str:
    """A Markdown table, a row a benchmark: its first figure, what is wanted of it, and what else was seen; below it, where it was measured.

    Raises:
        ValueError: there are no figures.
    """
    if not figures:
        raise ValueError("there are no figures: no benchmark has run")
    rows = ["| what | measured | wanted | beside it |", "|---|---|---|---|"]
    for one in figures:
        (name, value), *others = [(key, value) for key, value in one.items() if key not in _ABOUT and key not in _LIMITS]
        wanted = ", ".join(f"{text} {_number(one[key])}" for key, text in _LIMITS.items() if key in one)
        beside = "; ".join(f"{_words(key)} {_number(figure)}" for key, figure in others)
        rows.append(f"| {one['name']} | {_words(name)} {_number(value)} | {wanted} | {beside} |")
    last = figures[-1]
    return "\n".join([*rows, "", f"Measured on {last['measured']}: {last['cores']} cores, Python {last['python']}."])


def splice(text: str, rendered: str) -> str:
    """The text with what stands between its marks replaced.

    Raises:
        ValueError: the marks are not there, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"the marks {BEGIN} and {END} must stand there, once each and in this order")
    return f"{before}{BEGIN}\n\n{rendered}\n\n{END}{after}"


def main(arguments: list[str]) -> None:
    rendered = table(read_figures(Path(arguments[0])))
    PAGE.write_text(splice(PAGE.read_text(encoding="utf-8"), rendered), encoding="utf-8")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main(sys.argv[1:])
