"""How runs are written in MLflow: one at a time, found again by what they are tagged with, in batches, and ended last.

So the same thing logged twice, or after a crash, is there once. A run that still runs is written again, and MLflow takes what it has
already (same name, step, instant and value) as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from finflow.pipelines.core.code import code_version
from finflow.pipelines.core.home import Home
from finflow.pipelines.tracking.patience import once
from finflow.pipelines.tracking.store import safe, store_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run

_BATCH = 900  # metrics in one request; MLflow takes at most 1,000
_TAG, _NOTE = 5000, 8000  # characters


@contextmanager
def one_writer(home: Home) -> Iterator[MlflowClient]:
    """A client of the home's store; the runs of a home are written one after the other: what is found by its tags is then there once."""
    from filelock import FileLock

    home.mlflow.mkdir(parents=True, exist_ok=True)
    with FileLock(home.mlflow / "tracking.lock"):
        yield store_client(home)


def common_tags(definition_name: str, as_of: str, *, simulated: bool) -> dict[str, str]:
    """What every run is tagged with."""
    return {
        "finflow.definition": definition_name,
        "finflow.as_of": as_of,
        "finflow.code_version": code_version(),
        "finflow.simulated": str(simulated).lower(),
        "mlflow.source.name": "finflow",
        "mlflow.user": "finflow",
    }


def run_of(client: MlflowClient, experiment: str, key: Mapping[str, str], name: str, tags: Mapping[str, str]) -> Run:
    """The run with the tags of `key`: found, else made, also with `tags`; one, also where the answer to its making was lost."""
    query = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in key.items())
    return once(
        find=lambda: client.search_runs([experiment], filter_string=query, max_results=10, order_by=["attributes.start_time ASC"]),
        make=lambda: client.create_run(experiment, tags={**tags, **key}, run_name=name),
        drop=lambda extra: client.delete_run(extra.info.run_id),
    )


def is_open(run: Run) -> bool:
    """Whether it was not ended yet: it may have been written by halves."""
    return run.info.status in ("RUNNING", "SCHEDULED")


def finite_metrics(values: Mapping[str, float | None], moment: int) -> list[Metric]:
    """The values that are finite (MLflow would keep infinity as 1.8e308), as metrics of step 0 at `moment` (milliseconds since 1970)."""
    from mlflow.entities import Metric

    return [Metric(safe(name), float(value), moment, 0) for name, value in values.items() if value is not None and math.isfinite(value)]


def write_run(
    client: MlflowClient,
    run_id: str,
    metrics: Sequence[Metric] = (),
    params: Sequence[Param] = (),
    tags: Mapping[str, str] | None = None,
    note: str = "",
) -> None:
    """Metrics, parameters, tags and the note of a run, cut to what MLflow keeps, in as few requests as it takes."""
    from mlflow.entities import RunTag

    texts = {**{key: value[:_TAG] for key, value in (tags or {}).items()}, **({"mlflow.note.content": note[:_NOTE]} if note else {})}
    client.log_batch(run_id, metrics=metrics[:_BATCH], params=params, tags=[RunTag(key, value) for key, value in texts.items()])
    for start in range(_BATCH, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
