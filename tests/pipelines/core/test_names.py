"""One rule for names, and everything that a person or a file can name goes through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.names import begins_formula, check_identifier, check_name
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.scoring.export import export
from finflow.pipelines.sources import CsvSource
from tests.support import tiny_values

HOSTILE = {
    "parent folder": "..",
    "parent folder inside": "a..b",
    "a path": "../../etc/passwd",
    "backslash": "..\\a",
    "absolute": "/etc/passwd",
    "nul": "a\0b",
    "line break": "a\nb",
    "carriage return": "a\rb",
    "tab": "\ta",
    "line separator": "a\u2028b",
    "next line": "a\u0085b",
    "escape sequence": "a\x1b[2Jb",
    "right-to-left override": "a\u202egpj.exe",
    "right-to-left mark": "a\u200fb",
    "isolate": "a\u2066b",
    "zero width": "a\u200bb",
    "soft hyphen": "a\u00adb",
    "byte order mark": "\ufeffa",
    "surrogate": "a\ud800b",
    "private use": "a\ue000b",
    "unassigned": "a\u0378b",
    "formula": "=cmd(1)",
    "formula plus": "+1",
    "formula minus": "-1",
    "formula at": "@SUM(A1)",
    "full-width formula": "＝1",
    "full-width at": "＠a",
    "small plus": "﹢1",
    "blank before": " a",
    "wide blank after": "a\u3000",
    "no-break blank before": "\u00a0=1",
    "dot before": ".a",
    "dot after": "a.",
    "pipe": "a|b",
    "wildcard": "a*",
    "question": "a?",
    "quote": 'a"b',
    "colon": "c:a",
    "markup": "<script>",
    "empty": "",
    "too long": "a" * 101,
}
GOOD = [
    "^GSPC",
    "GC=F",
    "BRK.B",
    "BF-B",
    "000001",
    "贵州茅台",
    "Société Générale",
    "S&P 500",
    "Ünïcödé",
    "नाम",
    "a+b",
    "x@y",
    "Müller & Co",
    "a'b",
]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_refused_in_words_that_are_safe_to_print(name: str) -> None:
    for check in (check_name, check_identifier):
        with pytest.raises(FinflowError) as raised:
            check(name, "entity")
        assert str(raised.value).isascii()
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", GOOD)
def test_good_names_stay_as_they_are(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_nothing_in_a_definition_is_named_so(name: str) -> None:
    recipe = {"model": "dense"}
    changes: list[dict[str, Any]] = [
        {"name": name},
        {"features": [{"kind": "log_range", "name": name}]} if name else {"candidates": {name: recipe}},
        {"candidates": {name: recipe}},
        {"baselines": {name: {"model": "random_walk"}}, "reference": name},
        {"source": {"kind": "csv", "path": "a.csv", "columns": {name: "close"}}},
        {"source": {"kind": "csv", "path": "a.csv", "entity": name}},
        {"source": {"kind": "arch", "series": {name: "sp500"}}},
    ]
    for change in changes:
        with pytest.raises(FinflowError):
            parse_definition(tiny_values(**change))


@pytest.mark.parametrize("name", [name for name in HOSTILE.values() if name.strip() == name and name and name.isprintable()])
def test_no_file_names_an_entity_so(name: str, tmp_path: Path, home: Home) -> None:
    path = tmp_path / "all.csv"
    cell = name.replace('"', '""')
    path.write_text(f'date,entity,open,high,low,close,volume\n2018-01-02,"{cell}",1,1,1,1,1\n', encoding="utf-8")
    definition = parse_definition(tiny_values(source={"kind": "csv", "path": str(path)}))
    with pytest.raises(FinflowError, match="entity"):
        ingest(open_context(definition, home), now=pd.Timestamp("2020-01-01", tz="UTC"))
    assert not home.root.exists()


def test_a_file_named_so_names_no_entity(tmp_path: Path) -> None:
    (tmp_path / "=cmd.csv").write_text("date,close\n2018-01-02,1\n")
    with pytest.raises(FinflowError, match="begins with = "):
        CsvSource(path=str(tmp_path)).read()
    with pytest.raises(FinflowError, match="begins with = "):
        CsvSource(path=str(tmp_path / "=cmd.csv")).read()


@pytest.mark.parametrize("name", ["=cmd.csv", "a\nb.csv", "a\u202evsc.csv", "-rf.csv", "a\x1b[2J.csv"])
def test_no_export_is_named_so(name: str, home: Home, tmp_path: Path) -> None:
    with pytest.raises(FinflowError, match="--to"):
        export(open_context(parse_definition(tiny_values()), home), "2018-01-01", "2018-02-01", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", " =1", "\t=1", "\ta", "\ra", "\n1", "＝1", "＋1", "－1", "＠a", "﹣1", "\r\n@a"])
def test_what_a_spreadsheet_would_run(text: str) -> None:
    assert begins_formula(text)


@pytest.mark.parametrize("text", ["", "a", "1", "1-2", "a=b", "'=1", " a", "x@y", "…", "^GSPC"])
def test_what_it_would_not(text: str) -> None:
    assert not begins_formula(text)
