"""The leaderboard as a view that MLflow's UI opens by a link, so that nobody adds columns by hand.

MLflow's UI keeps a shared view of an experiment's runs as a tag of the experiment, and opens it by its key in the address.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.manifests import Evaluation

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "leaderboard"
#: what the tag of a shared view begins with; its key follows
TAG = "mlflow.sharedViewState."
#: what MLflow's UI calls an experiment of trained models, as against one of language-model traces
KIND = ("mlflow.experimentKind", "custom_model_development")
MOST_METRICS = 6


def share_leaderboard(client: MlflowClient, experiment: str, evaluation: Evaluation, key: str = KEY) -> None:
    """Make the newest training's candidates, sorted by the deciding loss, the experiment's shared view of that key."""
    client.set_experiment_tag(experiment, *KIND)
    client.set_experiment_tag(experiment, f"{TAG}{key}", json.dumps(leaderboard_state(evaluation)))


def leaderboard_state(evaluation: Evaluation) -> dict[str, Any]:
    """What MLflow's UI reads: which runs, in which order, with which columns."""
    loss = evaluation.loss
    ranked = [entry for entry in evaluation.candidates if entry.metrics]
    others = [metric.name for metric in ranked[0].metrics if metric.name != loss] if ranked else []
    metrics = [loss, f"{loss}.low", f"{loss}.high", f"effect.{evaluation.reference}", f"p_value.{evaluation.reference}"]
    metrics += others[:MOST_METRICS]
    return {
        "searchFilter": f"tags.`finflow.run_key` = '{evaluation.run_key}' and tags.`finflow.role` != 'parent'",
        "orderByKey": f"metrics.`{loss}`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*(f"metrics.`{name}`" for name in metrics), "tags.`finflow.family`", "tags.`finflow.baseline`"],
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runListHidden": False,
        "viewMaximized": False,
        "groupBy": None,
        "groupsExpanded": {},
        "compareRunCharts": [],
        "compareRunSections": [],
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
    }


def view_address(server: str, experiment: str, key: str = KEY) -> str:
    """The address of an experiment's shared view on an MLflow server."""
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs?viewStateShareKey={key}"
