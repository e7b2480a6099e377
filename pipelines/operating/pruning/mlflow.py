"""Pruning in MLflow: artifacts of runs that the rule does not keep, and versions that no decision calls for.

Runs themselves stay, with their parameters and metrics: only their files go, and a tag says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.pipelines.core.home import Home
from finflow.pipelines.operating.pruning.folders import Waste
from finflow.pipelines.operating.pruning.needs import ALWAYS, GRACE, Needs

if TYPE_CHECKING:
    from mlflow import MlflowClient

PRUNED = "finflow.pruned"
_RUN_KEY, _CANDIDATE = "finflow.run_key", "finflow.candidate"
_PAGE = 200


def waste_mlflow(home: Home, client: MlflowClient, needs: Needs, now: pd.Timestamp) -> Iterator[Waste]:
    """Artifacts and versions that nothing kept needs."""
    for experiment in client.search_experiments():
        name, place = experiment.name, [experiment.experiment_id]
        if needs.cutoff.get(name, ALWAYS) == ALWAYS:
            continue
        cutoff = min(needs.cutoff[name], now - GRACE)
        kept = {_origin(version) for version in _versions(client, name) if int(version.version) in needs.versions[name]}
        for model in _pages(partial(client.search_logged_models, place, max_results=_PAGE)):
            if _is_ours(model) and _origin(model) not in kept and _is_old(model, model.creation_timestamp, needs, cutoff):
                size = _size(_artifacts_of(home, model.artifact_location))
                yield Waste("versions", f"{name}: {model.name}", size, partial(_free_model, home, client, name, model))
        for run in _pages(partial(client.search_runs, place, filter_string=f"tags.`{_RUN_KEY}` != ''", max_results=_PAGE)):
            if PRUNED not in run.data.tags and _is_old(run.data, run.info.start_time, needs, cutoff):
                size = _size(_artifacts_of(home, run.info.artifact_uri))
                if size:
                    yield Waste("run artifacts", f"{name}: {run.info.run_name}", size, partial(_free_run, home, client, run, now))


def _is_old(thing: Any, made: int, needs: Needs, cutoff: pd.Timestamp) -> bool:
    """Of a run that does not stay, and made before the rule's instant."""
    return thing.tags.get(_RUN_KEY) not in needs.runs and pd.Timestamp(made, unit="ms", tz="UTC") < cutoff


def _origin(thing: Any) -> tuple[str | None, str | None]:
    """By which a registered version and the logged model behind it are known to be the same: searching gives no model id."""
    return thing.tags.get(_RUN_KEY), thing.tags.get(_CANDIDATE)


def _is_ours(model: Any) -> bool:
    return all(_origin(model))


def _versions(client: MlflowClient, name: str) -> list[Any]:
    return list(_pages(partial(client.search_model_versions, f"name = '{name}'", max_results=_PAGE)))


def _free_model(home: Home, client: MlflowClient, name: str, model: Any) -> None:
    """The version first: what is left of it cannot be asked for any more, and the next prune finds the rest."""
    for version in _versions(client, name):
        if _origin(version) == _origin(model):
            client.delete_model_version(name, version.version)
    _artifacts_of(home, model.artifact_location).delete_artifacts()
    client.delete_logged_model(model.model_id)


def _free_run(home: Home, client: MlflowClient, run: Any, now: pd.Timestamp) -> None:
    _artifacts_of(home, run.info.artifact_uri).delete_artifacts()
    client.set_tag(run.info.run_id, PRUNED, now.isoformat())


def _artifacts_of(home: Home, uri: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri, tracking_uri=home.tracking_uri)


def _size(repository: Any, path: str | None = None) -> int:
    """Bytes of all files below a place; 0 where there is none."""
    return sum(_size(repository, info.path) if info.is_dir else int(info.file_size or 0) for info in repository.list_artifacts(path))


def _pages(ask: Callable[..., Any]) -> Iterator[Any]:
    token = None
    while True:
        page = ask(page_token=token)
        yield from page
        token = page.token
        if not token:
            return
