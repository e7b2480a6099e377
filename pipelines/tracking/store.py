"""MLflow's store: made once, under a lock, and reached without telemetry."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlparse

from finflow.pipelines.core.database_templates import begin_from_template, keep_as_template
from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import require_running
from finflow.pipelines.core.whole_files import whole_file
from finflow.pipelines.tracking.patience import Patient, patiently

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
LOCKED_SECONDS = 20  # a wait for another process's write; as long as MLflow's own


def prepare_store(home: Home) -> None:
    """Make the SQLite store if the tracking URI names one that is not there yet; others are their servers' matter.

    It is built beside its place and put there by one rename: a killed run leaves nothing half made.
    """
    path = database_file(home)
    if path is None or path.exists():
        return
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        if path.exists():
            return
        with whole_file(path) as part:
            if begin_from_template("mlflow", part):
                with closing(sqlite3.connect(part)) as database, database:
                    database.execute("UPDATE experiments SET artifact_location = ? || '/' || experiment_id", (_artifacts(home),))
            else:
                _migrate(part, _artifacts(home))
                keep_as_template("mlflow", part)


def _migrate(path: Path, artifacts: str) -> None:
    """Make a store at `path` by MLflow's migrations."""
    _quiet()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"{_SQLITE}{path}", artifacts).engine.dispose()


def store_client(home: Home) -> MlflowClient:
    """A client of the home's tracking store and registry, which exists after this; it is patient with servers (see
    `finflow.pipelines.tracking.patience.Patient`).

    Raises:
        StateError: they are the matter of servers (of `finflow up`) that do not run.
    """
    require_servers(home)
    prepare_store(home)
    _quiet()
    from mlflow import MlflowClient

    address = _patient(home.tracking_uri)
    client = patiently(lambda: MlflowClient(tracking_uri=address, registry_uri=address), home.tracking_uri)
    return cast("MlflowClient", Patient(client, home.tracking_uri))


def reach_store(home: Home) -> None:
    """Find out before hours of fits, and not after them, whether MLflow answers.

    Raises:
        UnreachableError: it is a server, and does not.
    """
    if home.tracking_uri.startswith(("http://", "https://")):
        store_client(home).search_experiments(max_results=1)


def require_servers(home: Home) -> None:
    """Refuse at once what would end in a store that is not the home's, or in many retries.

    Raises:
        StateError: the home's MLflow server does not run, or PostgreSQL is asked for and no server of the home was ever started.
    """
    require_running(home.servers, "mlflow", home.tracking_uri)
    if os.environ.get("FINFLOW_DATABASE_URL") and database_file(home) == home.mlflow / "mlflow.db":
        raise StateError("FINFLOW_DATABASE_URL is set, and PostgreSQL is reached through this home's servers: `finflow up` starts them.")


def artifact_repository(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """What MLflow opens an `mlflow-artifacts:` address with (an entry point of this package).

    The home's server keeps artifacts under such addresses. When it is down, and the tracking store is the same SQLite file, they are read
    and written where that server put them: in the folder `artifacts` beside the file.
    """
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
    from mlflow.tracking import get_tracking_uri

    store = tracking_uri or get_tracking_uri()
    if not store.startswith(_SQLITE):
        return MlflowArtifactsRepository(artifact_uri, tracking_uri, registry_uri)
    artifacts = Path(store.removeprefix(_SQLITE).partition("?")[0]).parent / "artifacts"
    path = (artifacts / unquote(urlparse(artifact_uri).path).lstrip("/")).resolve()
    if not path.is_relative_to(artifacts.resolve()):
        raise StateError(f"{artifact_uri!a} points outside {artifacts}.")
    return LocalArtifactRepository(path.as_uri(), tracking_uri, registry_uri)


def experiment_of(home: Home, client: MlflowClient, name: str) -> str:
    """The id of a definition's experiment, which exists after this."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            location = f"{_artifacts(home)}/{name}" if database_file(home) else None
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # another run was quicker
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _patient(uri: str) -> str:
    """An SQLite address whose first connections too wait while another process writes: MLflow asks for its 20 seconds only later."""
    return f"{uri}?timeout={LOCKED_SECONDS}" if uri.startswith(_SQLITE) and "?" not in uri else uri


def database_file(home: Home) -> Path | None:
    """The file of an SQLite tracking URI."""
    if not home.tracking_uri.startswith(_SQLITE):
        return None
    name = home.tracking_uri.removeprefix(_SQLITE).partition("?")[0]
    return Path(name) if name and name != ":memory:" else None


def _artifacts(home: Home) -> str:
    return (home.mlflow / "artifacts").as_uri()


def _quiet() -> None:
    """No telemetry, no chatter on the console. MLflow reads the environment as it is imported."""
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def safe(name: str) -> str:
    """A name that MLflow takes for a metric or a parameter: others' characters become `_`."""
    return re.sub(r"[^\w.\-/ ]", "_", name)[:250]
