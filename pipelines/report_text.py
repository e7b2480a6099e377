"""The little Markdown that our reports use, its tables and numbers, and its HTML: headings, paragraphs, lists, quotes, tables, bold and
code. All else is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.manifests import Metric

#: what is smaller is 0 but for rounding
ROUNDING = 1e-14


def to_html(text: str) -> str:
    """HTML of a report's Markdown. Text is escaped, so that no name can bring markup of its own."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip()):
        parts += _block(block.splitlines())
    return "\n".join(parts)


def _block(lines: list[str]) -> list[str]:
    heading = re.match(r"(#{1,4}) (.*)", lines[0])
    if heading:
        level = len(heading[1])
        rest = _block(lines[1:]) if lines[1:] else []
        return [f"<h{level}>{_inline(heading[2])}</h{level}>", *rest]
    if lines[0].startswith("|"):
        return [_table(lines)]
    if lines[0].startswith("> "):
        return [f"<blockquote>{_inline(' '.join(line.removeprefix('> ') for line in lines))}</blockquote>"]
    items = [line for line in lines if line.startswith("- ")]
    if items and lines[0].startswith("- "):
        return [f"<ul>{''.join(f'<li>{_inline(item[2:])}</li>' for item in items)}</ul>"]
    if items:
        first = lines.index(items[0])
        return [f"<p>{_inline(' '.join(lines[:first]))}</p>", *_block(lines[first:])]
    return [f"<p>{_inline(' '.join(lines))}</p>"]


def _table(lines: list[str]) -> str:
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]] for line in lines]
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in rows[2:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=True)
    escaped = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, the first row its head."""
    return [f"| {' | '.join(table_cell(cell) for cell in row)} |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])]


def with_interval(metric: Metric | None) -> str:
    """A metric and its interval, as text."""
    if metric is None or metric.value is None:
        return "not finite"
    if metric.low is None or metric.high is None:
        return number(metric.value)
    return f"{number(metric.value)} [{number(metric.low)}, {number(metric.high)}]"


def number(value: float | None) -> str:
    """Four significant digits."""
    return "-" if value is None else f"{0.0 if abs(value) < ROUNDING else value:.4g}"


def p_value(value: float | None) -> str:
    """Three decimals."""
    return "-" if value is None else f"{value:.3f}"


def table_cell(text: str) -> str:
    """Text that a cell of a Markdown table can hold."""
    return text.replace("|", "\\|").replace("\n", " ")
