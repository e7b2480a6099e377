"""The figures' table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.figures import record
from tests.benchmarks.render import BEGIN, END, PAGE, read_figures, splice, table


def test_what_is_recorded_becomes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figures.jsonl"
    monkeypatch.setenv("FINFLOW_FIGURES", str(path))
    record("scoring, dense", ratio=0.5, at_least=0.8, rows_per_second=123456.7)
    record("drawing", ratio=1.0567, at_most=1.15)
    record("scoring, dense", ratio=0.8812, at_least=0.8, rows_per_second=200000.0, rows=2500000)
    figures = read_figures(path)
    assert [one["name"] for one in figures] == ["scoring, dense", "drawing"]
    lines = table(figures).splitlines()
    assert lines[2] == "| scoring, dense | ratio 0.881 | at least 0.8 | rows per second 200,000; rows 2,500,000 |"
    assert lines[3] == "| drawing | ratio 1.06 | at most 1.15 |  |"
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert lines[-1] == f"Measured on {first['measured']}: {first['cores']} cores, Python {first['python']}."


def test_the_table_takes_its_place_again_and_again() -> None:
    once = splice(f"above\n{BEGIN}\n{END}\nbelow\n", "| a |")
    assert once == f"above\n{BEGIN}\n\n| a |\n\n{END}\nbelow\n"
    assert splice(once, "| b |") == once.replace("| a |", "| b |")


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}"])
def test_a_text_without_its_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="marks"):
        splice(text, "| a |")


def test_no_figures_are_no_table() -> None:
    with pytest.raises(ValueError, match="no benchmark"):
        table([])


def test_the_page_has_the_marks() -> None:
    assert END in splice(PAGE.read_text(encoding="utf-8"), "| a |")
