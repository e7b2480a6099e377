"""The leaderboard's shared view: what it names is what was logged."""

from __future__ import annotations

import json
import re

from finflow.pipelines.tracking.store import store_client
from finflow.pipelines.training.leaderboard import KEY, TAG, view_address
from finflow.pipelines.training.tracking import log_training
from tests.support.pipelines.training_support import Trained


def test_the_view_shows_every_candidate_in_columns_that_were_logged(trained: Trained) -> None:
    log_training(trained.context, trained.evaluation, trained.fits, trained.samples)
    client = store_client(trained.home)
    experiment = client.get_experiment_by_name(trained.definition.name)
    assert experiment is not None
    state = json.loads(experiment.tags[TAG + KEY])
    shown = client.search_runs([experiment.experiment_id], filter_string=state["searchFilter"], order_by=[f"{state['orderByKey']} ASC"])
    assert {run.info.run_name for run in shown} == {entry.candidate for entry in trained.evaluation.candidates}
    losses = [run.data.metrics[trained.evaluation.loss] for run in shown]
    assert losses == sorted(losses)
    columns = [re.fullmatch(r"(metrics|tags)\.`(.+)`", column) for column in state["selectedColumns"]]
    for match in columns:
        assert match is not None
        kind, name = match.groups()
        assert any(name in getattr(run.data, kind) for run in shown), name


def test_the_address_of_a_view() -> None:
    assert view_address("http://127.0.0.1:5000/", "3") == "http://127.0.0.1:5000/#/experiments/3/runs?viewStateShareKey=leaderboard"
