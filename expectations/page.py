"""The Data Docs page of a validation, as one file that needs nothing from the internet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from html import escape
from typing import Any

from finflow.expectations.examine import Examination

# Great Expectations' page takes its style, scripts and logos from public servers; here the few classes that it uses are styled in place.
STYLE = """
body{font:15px/1.45 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;margin:1.5rem 2rem;color:#222}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}
td,th{border-top:1px solid #ddd;padding:.35rem .5rem;text-align:left;vertical-align:top}
.alert{background:#f1f3f5;padding:.5rem .8rem;border-radius:4px;margin:1rem 0 .5rem}h5,h6{margin:.3rem 0}.row{display:block}
.sticky,.collapse-toggle,nav,footer,.modal,#ge-cta-footer{display:none}
.text-success{color:#1a7f37}.text-danger{color:#cf222e}.fa-check-circle::before{content:"\\2713"}.fa-times::before{content:"\\2717"}
"""
_REMOTE = (
    re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<link\b[^>]*>", re.IGNORECASE),
    re.compile(r"<nav\b.*?</nav>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<img\b[^>]*>", re.IGNORECASE),
    re.compile(r"url\([^)]*\)", re.IGNORECASE),
    re.compile(r"<a\b[^>]*>|</a>", re.IGNORECASE),
)


def render_page(examinations: Sequence[Examination], title: str) -> str:
    """HTML of one or more examinations: what each rule found, in its own words, then Great Expectations' page of the results.

    Args:
        title: the page's title.
    """
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    bodies = []
    for examination in examinations:
        html = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(_as_text(examination.pages)))
        for pattern in _REMOTE:
            html = pattern.sub("", html)
        body = re.search(r"<body>(.*)</body>", html, re.DOTALL)
        bodies.append(_rules(examination) + (body.group(1) if body else html))
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body><h1>{escape(title)}</h1>{''.join(bodies)}</body></html>\n"


def _as_text(result: Any) -> Any:
    """A copy of a validation result whose names and values from the data are text: Great Expectations' page takes them for HTML."""
    copied = deepcopy(result)
    for answer in copied.results:
        answer.result = _escaped(answer.result)
        answer.expectation_config.kwargs = _escaped(answer.expectation_config.kwargs)
    return copied


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {_escaped(key): _escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return escape(value) if isinstance(value, str) else value


def _rules(examination: Examination) -> str:
    """A table of the rules, broken ones first."""
    rows = []
    for outcome in sorted(examination.outcomes, key=lambda outcome: outcome.passed):
        rule = outcome.graded.rule
        result = "holds" if outcome.passed else f"{outcome.finding.detail}. To do: {rule.remedy}"
        cells = (rule.name, outcome.graded.severity, rule.statement, result)
        rows.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    return f"<table><tr><th>rule</th><th>severity</th><th>demands</th><th>found</th></tr>{''.join(rows)}</table>"
