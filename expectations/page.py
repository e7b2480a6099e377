"""The Data Docs page of a validation, as one file that needs nothing from the internet."""

from __future__ import annotations

import re
from typing import Any

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


def render_page(results: list[Any], title: str) -> str:
    """HTML of one or more validation results, one after the other.

    Args:
        results: Great Expectations' validation results.
        title: the page's title.
    """
    from html import escape

    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    bodies = []
    for result in results:
        html = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
        for pattern in _REMOTE:
            html = pattern.sub("", html)
        body = re.search(r"<body>(.*)</body>", html, re.DOTALL)
        bodies.append(body.group(1) if body else html)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body><h1>{escape(title)}</h1>{''.join(bodies)}</body></html>\n"
