"""Versions in MLflow's registry: registered once a run, loaded only after every check."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.code import code_version, library_versions
from finflow.pipelines.core.errors import OutdatedError, RegistryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, FitResult, JsonRecord, SampleManifest
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.registry.aliases import check_registered_head, repair_aliases
from finflow.pipelines.registry.files import check_files, manifest_digest
from finflow.pipelines.registry.golden_features import draw_features
from finflow.pipelines.registry.loader import read_served, write_served
from finflow.pipelines.registry.served import ServedModel
from finflow.pipelines.registry.task_signature import task_signature
from finflow.pipelines.samples.windows import clean_rows, open_samples
from finflow.pipelines.tracking.patience import once, patiently
from finflow.pipelines.tracking.store import experiment_of, store_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

    from finflow.pipelines.lake.promotions import Promotions

__all__ = ["RegisteredVersion", "ServedModel", "load_version", "register", "repair_aliases", "withdraw"]

_RUN_KEY, _CANDIDATE, _DIGEST = "finflow.run_key", "finflow.candidate", "finflow.manifest_digest"


@dataclass(frozen=True)
class RegisteredVersion(JsonRecord):
    """A version in the registry and the digest of its manifest, which the promotions table keeps."""

    version: int
    manifest_digest: str


@dataclass(frozen=True)
class _Registration:
    """What is to be registered (see `register`)."""

    context: Context
    evaluation: Evaluation
    candidate: str
    members: Sequence[FitResult]
    samples: SampleManifest
    run_id: str

    @property
    def tags(self) -> dict[str, str]:
        return {_RUN_KEY: self.evaluation.run_key, _CANDIDATE: self.candidate, "finflow.as_of": self.evaluation.as_of}


def register(
    context: Context,
    evaluation: Evaluation,
    candidate: str,
    members: Sequence[FitResult],
    samples: SampleManifest,
    run_id: str,
) -> RegisteredVersion:
    """Register the production fits of a candidate as one version; the same run and candidate again give the same version.

    Args:
        members: fits of the production fold, one a seed; several are averaged.
        run_id: the MLflow run that the version belongs to.

    Raises:
        RegistryError: the model does not answer alike from windows alone, or not finitely.
    """
    from filelock import FileLock

    client = store_client(context.home)
    context.home.mlflow.mkdir(parents=True, exist_ok=True)
    with FileLock(context.home.mlflow / "registry.lock"):
        registered = _versions_of(client, context.name, evaluation.run_key, candidate)
        if registered:
            return RegisteredVersion(int(registered[0].version), registered[0].tags[_DIGEST])
        return _register(client, _Registration(context, evaluation, candidate, members, samples, run_id))


def withdraw(context: Context, run_key: str) -> list[int]:
    """Delete the versions that a run registered and no decision names: another training decided first, and this one then otherwise.

    Returns:
        The numbers of the deleted versions; MLflow gives them to no other.
    """
    named = {row.version for row in context.promotions.rows()}
    client = store_client(context.home)
    registered = client.search_model_versions(f"name = '{context.promotions.name}' and tags.`{_RUN_KEY}` = '{run_key}'")
    left = sorted(int(version.version) for version in registered if int(version.version) not in named)
    for number in left:
        client.delete_model_version(context.promotions.name, str(number))
    return left


def load_version(context: Context, version: int) -> ServedModel:
    """Fetch a version, check it against the promotions table, and only then load it and replay its golden batches.

    Raises:
        OutdatedError: its features come out otherwise than when it was made, or it is of an older format.
        RegistryError: no such version, none that any decision names, or a check fails; the message says which.
    """
    expected = _promoted_digest(context.name, version, context.promotions)
    check_registered_head(store_client(context.home), context.promotions)
    with tempfile.TemporaryDirectory(prefix="finflow-") as scratch:
        folder = _fetch(context.home, context.name, version, Path(scratch))
        try:
            check_files(folder)
            digest = manifest_digest(folder)
            if digest != expected:
                raise RegistryError(
                    f"its manifest has digest {digest}, the promotions table recorded {expected}: not the files that were promoted. "
                    f"Restore them, or train again."
                )
            served = read_served(folder)
        except RegistryError as error:
            words = f"version {version} of {context.name} is refused: {str(error).replace(str(folder), 'the version')}"
            raise (OutdatedError(words, error.change) if isinstance(error, OutdatedError) else RegistryError(words)) from error
    return ServedModel(served.model, served.model.task, context.name, version, digest, served.manifest)


def _register(client: MlflowClient, asked: _Registration) -> RegisteredVersion:
    name, evaluation, candidate = asked.context.name, asked.evaluation, asked.candidate
    _ensure_registered_model(client, asked.context.definition)
    logged = _logged_model(client, asked)
    digest = logged.tags[_DIGEST]
    version = once(
        find=lambda: _versions_of(client, name, evaluation.run_key, candidate),
        make=lambda: client.create_model_version(
            name,
            source=logged.artifact_location,
            run_id=asked.run_id,
            tags={**asked.tags, _DIGEST: digest},
            description=f"{candidate}, trained on all that was known at {evaluation.as_of}. {evaluation.protocol}",
            model_id=logged.model_id,
        ),
        drop=lambda extra: client.delete_model_version(name, str(extra.version)),
    )
    link = [{"name": name, "version": int(version.version)}]
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": json.dumps(link)})
    return RegisteredVersion(int(version.version), digest)


def _logged_model(client: MlflowClient, asked: _Registration) -> LoggedModel:
    """The logged model with the version's files, whole; an earlier try's goes on where it stopped."""
    from mlflow.entities import LoggedModelStatus

    evaluation, candidate = asked.evaluation, asked.candidate
    experiment = experiment_of(asked.context.home, client, asked.context.name)
    logged: LoggedModel = once(
        find=lambda: _logged_models(client, experiment, evaluation.run_key, candidate),
        make=lambda: client.create_logged_model(
            experiment,
            name=candidate,
            source_run_id=asked.run_id,
            tags=asked.tags,
            model_type=_entry(evaluation, candidate).family,
        ),
        drop=lambda extra: client.delete_logged_model(extra.model_id),
    )
    if logged.status != LoggedModelStatus.READY:
        digest = _upload(client, logged.model_id, asked)
        client.set_logged_model_tags(logged.model_id, {_DIGEST: digest})
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        logged = client.get_logged_model(logged.model_id)
    return logged


def _upload(client: MlflowClient, model_id: str, asked: _Registration) -> str:
    """Build the version's folder and upload it; the digest of its manifest."""
    clean = asked.samples.clean
    with tempfile.TemporaryDirectory(prefix="finflow-") as scratch:
        folder = Path(scratch) / "version"
        models, drawn_from = [Path(member.folder) / "model" for member in asked.members], open_samples(asked.samples.folder)
        features = draw_features(asked.context.definition, clean_rows(asked.context, clean), drawn_from)
        digest = write_served(folder, models, drawn_from, features, _facts(asked), model_id=model_id)
        client.log_model_artifacts(model_id, str(folder))
    return digest


def _facts(asked: _Registration) -> dict[str, Any]:
    """What the version's manifest says of how it was made."""
    evaluation, clean = asked.evaluation, asked.samples.clean
    return {
        "definition": asked.context.name,
        "asked": task_signature(asked.context.definition),
        "candidate": asked.candidate,
        "recipe": _entry(evaluation, asked.candidate).recipe,
        "as_of": evaluation.as_of,
        "run_key": evaluation.run_key,
        "run_id": asked.run_id,
        "fits": [member.key for member in asked.members],
        "seeds": [member.seed for member in asked.members],
        "data": {"table": clean.table, "version": clean.version, "digest": clean.digest},
        "libraries": library_versions(),
        "code": code_version(),
    }


def _ensure_registered_model(client: MlflowClient, definition: Definition) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(definition.name)
    except MlflowException:
        try:
            client.create_registered_model(definition.name, description=definition.description or definition.title)
        except MlflowException:
            client.get_registered_model(definition.name)  # another run was quicker; else this says what is wrong


def _versions_of(client: MlflowClient, name: str, run_key: str, candidate: str) -> list[ModelVersion]:
    """The versions that a run registered of a candidate, the first first: a lost answer may have left a second."""
    from mlflow.exceptions import MlflowException

    try:
        of_run = client.search_model_versions(f"name = '{name}' and tags.`{_RUN_KEY}` = '{run_key}'")
    except MlflowException:
        return []
    mine = [version for version in of_run if version.tags.get(_CANDIDATE) == candidate and _DIGEST in version.tags]
    return sorted(mine, key=lambda version: int(version.version))


def _logged_models(client: MlflowClient, experiment: str, run_key: str, candidate: str) -> list[Any]:
    """What an interrupted run of the same key has begun to log, the first first."""
    models = client.search_logged_models(
        [experiment], filter_string=f"tags.`{_RUN_KEY}` = '{run_key}' and tags.`{_CANDIDATE}` = '{candidate}'"
    )
    return sorted(models, key=lambda model: (model.creation_timestamp, model.model_id))


def _entry(evaluation: Evaluation, candidate: str) -> CandidateEvaluation:
    for entry in evaluation.candidates:
        if entry.candidate == candidate:
            return entry
    raise RegistryError(f"{candidate} is not in the evaluation of {evaluation.definition}: only what was compared is registered.")


def _promoted_digest(name: str, version: int, promotions: Promotions) -> str:
    for row in promotions.rows():
        if row.version == version:
            return row.manifest_digest
    raise RegistryError(f"version {version} of {name} is not in the promotions table: finflow history {name} lists the versions there are.")


def _fetch(home: Home, name: str, version: int, scratch: Path) -> Path:
    """Copy a version's files, so that what is checked is what is loaded."""
    import mlflow
    from mlflow.exceptions import MlflowException

    client = store_client(home)
    try:
        source = client.get_model_version_download_uri(name, str(version))
        fetched = patiently(
            lambda: mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(scratch), tracking_uri=home.tracking_uri),
            home.tracking_uri,
        )
        return Path(fetched)
    except (MlflowException, OSError) as error:
        raise RegistryError(f"version {version} of {name} cannot be fetched from the registry: {' '.join(str(error).split())}") from None
