"""The Markdown that our reports use, its tables and numbers, and its HTML: headings, paragraphs, lists, quotes, tables, emphasis and code.
All else is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Metric

#: what is smaller is 0 but for rounding
ROUNDING = 1e-14
_STYLE = (
    "body{font:15px/1.5 system-ui,'Noto Sans CJK SC','Microsoft YaHei','PingFang SC',sans-serif;"
    "margin:2rem auto;padding:0 1rem}"
    # Prose keeps to a width that can be read; a table of many columns takes what the window has, and scrolls only beyond.
    "body>*{box-sizing:border-box;max-width:62rem;margin-left:auto;margin-right:auto}"
    "table{border-collapse:collapse;font-size:12px;display:block;overflow-x:auto;width:fit-content;max-width:100%;min-width:min(100%,62rem)}"
    "td,th{border:1px solid #ccc;padding:.2rem .35rem;text-align:left}td{font-variant-numeric:tabular-nums}"
    "th{background:#f2f2f2}img{display:block;max-width:min(100%,62rem)}"
    "blockquote{border-left:4px solid #1f5fa8;padding:.3rem 1rem;background:#f4f8fc}"
)


def to_html(text: str) -> str:
    """HTML of a report's Markdown (CommonMark with tables, by markdown-it-py). Links, pictures and HTML are off, so that no name can bring
    markup of its own."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("zero").enable(["heading", "list", "blockquote", "table", "emphasis", "backticks"]).render(text))


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


def page_of(title: str, text: str, plots: Mapping[str, Path]) -> str:
    """A report's Markdown as a whole HTML page.

    Args:
        plots: SVG files by their captions; the page holds them whole.
    """
    images = "".join(
        f"<h3>{html.escape(caption)}</h3><img alt='{html.escape(caption, quote=True)}' "
        f"src='data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}'>"
        for caption, path in plots.items()
    )
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{to_html(text)}{'<h2>Plots</h2>' if images else ''}{images}</body></html>\n"
    )
