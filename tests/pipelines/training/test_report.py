"""The written report and its plots: honest, readable in any script, and safe against what names hold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import FitReport
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest, Evaluation, Fold, Metric, RawManifest, RuleResult, SampleManifest
from finflow.pipelines.core.markdown import page_of, table_cell, to_html
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.evaluation.plots.figures import (
    plot_coverage,
    plot_forecasts,
    plot_leaderboard,
    plot_losses,
    plot_skill,
    quantile_columns,
)
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.training.report import newest_report, report_text, write_report
from tests.support import tiny_values
from tests.support.pipelines.evaluation_support import evaluation_of, losses_of

ROW = PromotionRow(
    "run",
    "reference",
    "random-walk",
    "random walk",
    3,
    None,
    "2015-12-31T21:00:00+00:00",
    "lstm does not beat random-walk: no skill over random-walk.",
    0.0304,
    1,
)
DEFINITION = parse_definition(tiny_values(simulated=False, title="平安银行 & <b>bold</b>"))


@pytest.fixture
def evaluation() -> Evaluation:
    made = evaluation_of(losses_of({"random-walk": 0.0, "historical-mean": -0.02, "ridge": -0.01, "lstm": -0.05}, 300))
    entries = [replace(entry, metrics=(Metric("mae", 1.0 + number, 0.5, 3.0, "lower"),)) for number, entry in enumerate(made.candidates)]
    return replace(made, candidates=tuple(entries), folds=(Fold("2015-01", "2014-01-01", "2015-01-01", "2015-12-31"),))


@pytest.fixture
def samples() -> SampleManifest:
    rules = (RuleResult("jump", "warning", False, 3, "a jump | of <60 %>"), RuleResult("unique_key", "row", True, 0, ""))
    clean = CleanManifest(
        "clean/tiny", 4, "2015-12-31T21:00:00+00:00", "d1", 1200, 2, 5, rules, "", RawManifest("raw/tiny", 4, 0, 1205, "", "")
    )
    return SampleManifest("", "s1", 1200, 1180, 1170, ("log_return",), {}, clean)


def test_the_report_says_what_was_decided_on_what(evaluation: Evaluation, samples: SampleManifest) -> None:
    text = report_text(DEFINITION, evaluation, ROW, ROW, samples, failed={"gan": "the loss is not finite"})
    for part in (
        "**REFERENCE.** lstm does not beat random-walk: no skill over random-walk. Champion: **random-walk**, version 3.",
        "| lstm |",
        "random-walk (baseline)",
        "2015-01-01 to 2015-12-31",
        "table `clean/tiny` version 4 as of 2015-12-31T21:00:00+00:00, 1,200 rows of 2 entities, 5 rows quarantined, digest `d1`",
        "1,180 windows of 10 observations and 2 steps ahead; 1,170 with a known outcome",
        "**gan failed** and is not compared: the loss is not finite",
        "not annualised",
        "Challenge 1 on these data; level spent on it: 0.0304 (of 0.05 in all)",
        "warning: jump: 3 rows",
        evaluation.protocol,
    ):
        assert part in text, part
    assert "SIMULATED" not in text
    assert "The data are SIMULATED" in report_text(parse_definition(tiny_values()), evaluation, ROW, ROW, samples)


def test_a_smaller_loss_has_the_sign_that_the_command_line_gives_it(evaluation: Evaluation, samples: SampleManifest) -> None:
    from finflow.flows.command_line.leaderboard import leaderboard_lines
    from finflow.pipelines.training.described import _leaderboard_row

    text = report_text(DEFINITION, evaluation, ROW, ROW, samples)
    assert "the change of the loss (negative: a smaller loss, better)" in text
    rows = [_leaderboard_row(entry) for entry in evaluation.candidates]
    printed = leaderboard_lines({"leaderboard": rows, "loss": "mae"})
    for name, change in (("lstm", 5.0), ("ridge", 1.0)):
        report_row = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
        printed_row = next(line for line in printed if line.strip().startswith(name))
        assert f"| +{change:.2f} % (p " in report_row
        assert f" +{change:.2f} % p=" in printed_row
    better = evaluation_of(losses_of({"random-walk": 0.0, "lstm": 0.05}, 300))
    assert "-5.00 % (p 0.0" in report_text(DEFINITION, better, ROW, ROW, samples)


def test_the_confidence_set_is_shown_and_said_to_decide_nothing(evaluation: Evaluation, samples: SampleManifest) -> None:
    entries = [replace(entry, confidence_p=1.0 - 0.317 * number) for number, entry in enumerate(evaluation.candidates[:-1])]
    told = replace(evaluation, candidates=(*entries, evaluation.candidates[-1]), spa_p=0.4321)
    text = report_text(DEFINITION, told, ROW, ROW, samples)
    header, _, *rows = [line.split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert header[-2] == "MCS p"
    assert [row[-2] for row in rows[: len(evaluation.candidates)]] == ["1.000", "0.683", "0.366", "-"]
    assert "That no candidate is better than random-walk: p 0.432 over all candidates together" in text
    assert "Both are for reading and decide nothing" in text
    alone = report_text(DEFINITION, evaluation, ROW, ROW, samples)
    assert "cannot be told from the best. It decides nothing." in alone
    assert "over all candidates together" not in alone


def test_every_row_of_a_table_has_as_many_cells_as_its_head(evaluation: Evaluation, samples: SampleManifest) -> None:
    tables = [line for line in report_text(DEFINITION, evaluation, ROW, ROW, samples).splitlines() if line.startswith("|")]
    widths = {len(re.split(r"(?<!\\)\|", line)) for line in tables if "family" in tables[0]}
    assert len(tables) == 2 * (len(evaluation.candidates) + 2)
    assert len(widths) == 2, "the leaderboard's and the folds'"


def test_a_report_is_written_once_and_found_again(evaluation: Evaluation, samples: SampleManifest, home: Home, tmp_path: Path) -> None:
    with pytest.raises(FinflowError, match="no report of tiny yet: finflow train tiny"):
        newest_report(open_context(DEFINITION, home))
    plot_leaderboard(evaluation, tmp_path / "plot.svg")
    page = write_report(open_context(DEFINITION, home), evaluation, ROW, ROW, samples, plots={"Leaderboard": tmp_path / "plot.svg"})
    written = page.stat().st_mtime_ns
    assert write_report(open_context(DEFINITION, home), evaluation, ROW, ROW, samples, plots={"Leaderboard": tmp_path / "plot.svg"}) == page
    assert page.stat().st_mtime_ns == written
    assert sorted(path.suffix for path in page.parent.iterdir()) == [".html", ".md"]
    found = newest_report(open_context(DEFINITION, home))
    assert (found["html"], found["definition"]) == (str(page), "tiny")
    assert found["text"] == page.with_suffix(".md").read_text(encoding="utf-8")


def test_the_page_is_whole_and_brings_no_markup_of_others(evaluation: Evaluation, samples: SampleManifest, home: Home) -> None:
    page = write_report(open_context(DEFINITION, home), evaluation, ROW, ROW, samples).read_text(encoding="utf-8")
    assert "平安银行 &amp; &lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "http" not in page, "nothing is fetched"
    assert page.count("<tr>") == 2 * (len(evaluation.candidates) + 1)
    assert "a jump | of &lt;60 %&gt;" in page
    ElementTree.fromstring(page.removeprefix("<!doctype html>").replace("<meta charset='utf-8'>", ""))


def test_markdown_becomes_html() -> None:
    assert to_html("# A\n\n> **b** c\n\nd\n- `e`\n- f\n\ng\nh") == (
        "<h1>A</h1>\n<blockquote>\n<p><strong>b</strong> c</p>\n</blockquote>\n<p>d</p>\n"
        "<ul>\n<li><code>e</code></li>\n<li>f</li>\n</ul>\n<p>g\nh</p>\n"
    )
    assert to_html("| a | b |\n| --- | --- |\n| <i> | x \\| `y \\| z` |").replace("\n", "") == (
        "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
        "<tbody><tr><td>&lt;i&gt;</td><td>x | <code>y | z</code></td></tr></tbody></table>"
    )


def test_a_table_may_take_the_window_and_prose_a_width_that_can_be_read() -> None:
    page = page_of("A", "# A\n\n| a | b |\n| --- | --- |\n| c | d |", {})
    rules = dict(re.findall(r"([^{}]+)\{([^{}]*)\}", page[page.index("<style>") + len("<style>") : page.index("</style>")]))
    assert "max-width" not in rules["body"]
    assert "max-width:62rem" in rules["body>*"]
    assert "max-width:100%" in rules["table"]
    assert "overflow-x:auto" in rules["table"], "what is wider still scrolls by itself, not with the page"


@pytest.mark.parametrize("name", ["<script>x</script>", "[x](https://a.org)", "![x](https://a.org/x.svg)", "<https://a.org>", "a\n---\nb"])
def test_a_name_brings_no_markup(name: str) -> None:
    page = to_html(f"# {name}\n\n- {name}\n\n| {table_cell(name)} |\n| --- |\n| {table_cell(name)} |")
    assert not set(re.findall(r"<(\w+)", page)) - {"h1", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}


def rows(entity: str = "平安银行 $A$B") -> pd.DataFrame:
    time = pd.bdate_range("2015-01-05", periods=60)
    centre = 100 + np.arange(60.0)
    columns = {f"q{level:02d}": centre + (level - 50) / 10 for level in (5, 25, 50, 75, 95)}
    base = {"entity": entity, "time": time, "target_time": time + pd.Timedelta(days=1), "horizon": 1, "fold": ["a"] * 30 + ["b"] * 30}
    return pd.DataFrame({**base, **columns, "actual": centre + np.where(np.arange(60) % 4 == 0, 3.0, -1.0)})


def svg_texts(path: Path) -> str:
    return " ".join(element.text or "" for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"))


def test_plots_keep_their_text_in_any_script(tmp_path: Path) -> None:
    plot_forecasts(rows(), "长短期记忆", tmp_path / "forecasts.svg")
    texts = svg_texts(tmp_path / "forecasts.svg")
    assert "长短期记忆, 平安银行 $A$B, 1 steps ahead, test period a" in texts
    assert "test period b" in texts
    assert "Noto Sans CJK SC" in (tmp_path / "forecasts.svg").read_text(encoding="utf-8")


def test_coverage_is_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: list[list[float]] = []
    original = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, *a, **k: (drawn.append(list(y)), original(self, x, y, *a, **k))[1])
    plot_coverage(rows(), "it", tmp_path / "coverage.svg")
    assert drawn[1] == [0.0, 0.0, 0.75, 0.75, 1.0]


def test_the_same_plot_has_the_same_bytes(evaluation: Evaluation, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        plot_leaderboard(evaluation, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert all(entry.candidate in svg_texts(tmp_path / "one.svg") for entry in evaluation.candidates)


def test_curves_and_skill(tmp_path: Path) -> None:
    points = tuple({"epoch": number, "train_loss": 1.0, "validation_loss": 2.0 / (number + 1)} for number in range(4))
    plot_losses({"a, seed 1": FitReport(points, 2), "classical": FitReport()}, "it", tmp_path / "losses.svg")
    assert "a, seed 1" in svg_texts(tmp_path / "losses.svg")
    assert "classical" not in svg_texts(tmp_path / "losses.svg")
    daily = pd.DataFrame({"it": [1.0, 2.0], "ref": [2.0, 2.5]}, index=pd.bdate_range("2015-01-05", periods=2))
    plot_skill(daily, "it", "ref", "mae", tmp_path / "skill.svg")
    assert "it against ref" in svg_texts(tmp_path / "skill.svg")


def test_quantile_columns_by_level() -> None:
    frame = pd.DataFrame(columns=["entity", "q97_5", "q05", "q50", "quality", "q"])
    assert quantile_columns(frame) == {0.05: "q05", 0.5: "q50", 0.975: "q97_5"}
