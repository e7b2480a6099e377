"""The little Markdown that our reports use, as HTML: headings, paragraphs, lists, quotes, tables, bold and code. All else is escaped."""

from __future__ import annotations

import html
import re


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
