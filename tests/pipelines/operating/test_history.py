"""What the list of decisions shows of what a decision was made on."""

from __future__ import annotations

from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.operating.history import history
from tests.support import tiny_values
from tests.support.pipelines.promotion_rows import row


def test_figures_over_sealed_dates_are_shown_only_where_they_demoted(home: Home) -> None:
    context = open_context(parse_definition(tiny_values()), home)
    evidence = {"adjusted_p": {"ridge": 0.2}, "safety": {"adjusted_p": {"ridge": 0.01}}}
    for number, (verdict, version) in enumerate((("reference", 1), ("kept", 1), ("demoted", 2))):
        made = row(f"run{number}", verdict, f"2016-0{number + 1}-29", version, evidence=evidence)
        context.promotions.record(made, context.promotions.snapshot()[1])
    shown = [one["evidence"] for one in history(context)["decisions"]]
    assert [set(one) for one in shown] == [{"adjusted_p"}, {"adjusted_p"}, {"adjusted_p", "safety"}]
    assert all("safety" in one.evidence for one in context.promotions.rows()), "the record itself keeps all of it"
