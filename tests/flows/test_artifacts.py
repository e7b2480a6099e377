"""What a person reads in the Prefect UI: rounded numbers, a decision with its links, keys that Prefect takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finflow.flows.artifacts import artifact_key, decision_text, leaderboard_row, mlflow_links
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import Decision
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.training.conclusion import Conclusion
from tests.support import tiny_values
from tests.support.patching import replace_everywhere
from tests.support.pipelines.evaluation_support import evaluation_of, losses_of

EVALUATION = evaluation_of(losses_of({"random-walk": 0.0, "ridge": 0.01, "lstm": 0.2}, 400), invalid={"lstm": "a NaN loss"})


def concluded(**outcome: Any) -> Conclusion:
    champion = {"name": "tiny", "version": 3, "candidate": "ridge"}
    values = {
        "decision": {"verdict": "kept", "champion": champion, "reason": "Nothing beat ridge."},
        "waiting": None,
        "run_id": "abc123",
        "report": "/home/reports/tiny/x.html",
    }
    return Conclusion(Decision("kept", False, "ridge", "Nothing beat ridge.", 0.03, 1), {**values, **outcome})


def test_the_leaderboard_in_rounded_numbers() -> None:
    rows = [leaderboard_row(EVALUATION, place, entry) for place, entry in enumerate(EVALUATION.candidates, start=1)]
    assert len({tuple(row) for row in rows}) == 1, "every row has every column"
    by_name = {row["name"]: row for row in rows}
    assert by_name["lstm"]["role"] == "candidate"
    assert by_name["ridge"]["role"] == "baseline"
    assert by_name["lstm"]["not promotable"] == "a NaN loss"
    loss = f"{EVALUATION.loss.upper()} [95 %]"
    assert by_name["lstm"][loss] == "not finite"
    ridge = next(entry for entry in EVALUATION.candidates if entry.candidate == "ridge")
    effect = next(one.effect for one in ridge.comparisons if one.against == "random-walk")
    assert effect is not None
    assert by_name["ridge"]["against random-walk"].startswith(f"{-100 * effect:+.2f} %, p ")
    assert by_name["random-walk"]["against random-walk"] == ""
    assert all(len(str(value)) < 40 for row in rows for value in row.values())


def test_the_decision_names_the_champion_and_its_sources(home: Home) -> None:
    definition = parse_definition(tiny_values())
    text = decision_text(open_context(definition, home), EVALUATION, concluded())
    assert text.startswith("# A tiny simulated series: kept\n\nNothing beat ridge.\n\nChampion: **ridge**, version 3.")
    assert "The data are **simulated**." in text
    assert "MLflow run `abc123`" in text
    assert "`/home/reports/tiny/x.html`" in text
    waiting = {"version": 4, "approve": "finflow approve tiny 4 --by WHO --why TEXT"}
    assert "Version 4 waits for a person: `finflow approve tiny 4" in decision_text(
        open_context(definition, home), EVALUATION, concluded(waiting=waiting)
    )


def test_a_link_to_an_mlflow_server_shows_no_password(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def get_run(self, run: str) -> Any:
            assert run == "abc123"
            info = type("Info", (), {"experiment_id": "7"})
            return type("Run", (), {"info": info})

    replace_everywhere(monkeypatch, "finflow.pipelines.tracking.store.store_client", lambda home: Client())
    served = replace(home, tracking_uri="http://ann:Secret99@127.0.0.1:5000/")
    side_by_side, run = mlflow_links(served, "abc123")
    assert run == "[the run in MLflow](http://127.0.0.1:5000/#/experiments/7/runs/abc123)"
    assert side_by_side.startswith("[the candidates side by side in MLflow](http://127.0.0.1:5000/#/experiments/7")
    assert "Secret99" not in side_by_side


def test_keys_that_prefect_takes() -> None:
    assert artifact_key("my_prices-2", "decision") == "my-prices-2-decision"
