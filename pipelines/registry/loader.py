"""A model as it is served: an MLflow pyfunc loaded by this module, from safetensors and JSON, with golden batches that it must reproduce.

MLflow calls `_load_pyfunc` when a version is loaded with `mlflow.pyfunc.load_model("models:/NAME@champion")`.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Model, Task
from finflow.models.ensemble import save_ensemble
from finflow.models.samples import Float32, Int64, Samples
from finflow.models.saving import load_model
from finflow.pipelines.core.code import library_versions
from finflow.pipelines.core.errors import RegistryError
from finflow.pipelines.registry.files import DATA, LOADER, check_files, write_manifest
from finflow.pipelines.registry.golden_features import FeatureBatch, replay_features, write_features
from finflow.pipelines.registry.pyfunc import PyfuncModel, predict_windows

GOLDEN_SAMPLES = 64
#: a golden output may differ by this part of the largest one (libraries and processors round differently)
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Golden:
    """Raw inputs and the outputs that they gave when the version was made.

    Attributes:
        inputs: float32, [n, context, columns].
        outputs: float32, as `finflow.models.base.Prediction` lays them out.
        categories: int64, [n, context, categories]; None where the task has none.
    """

    inputs: Float32
    outputs: Float32
    categories: Int64 | None = None


def write_served(
    folder: Path,
    members: Sequence[Path],
    samples: Samples,
    features: FeatureBatch,
    facts: dict[str, Any],
    *,
    model_id: str | None = None,
) -> str:
    """Write a version's folder from the model folders of finished fits (several are averaged); the digest of its manifest.

    Args:
        folder: does not exist yet.
        members: folders that models/saving.py wrote.
        samples: what the golden batch is drawn from, evenly over all labelled samples.
        features: clean rows on which the features are tried whenever the version is loaded.
        facts: further JSON values for the manifest; `run_id`, where it is there, is of the MLflow run that the version belongs to.
        model_id: MLflow's, of the logged model that the version belongs to.

    Raises:
        RegistryError: the model gives other numbers from the windows alone than from the run's samples, or numbers that are not finite.
    """

    with tempfile.TemporaryDirectory(prefix="finflow-") as scratch:
        data = Path(scratch) / Path(DATA).name
        data.mkdir()
        _write_model(data / "model", members)
        model = load_model(data / "model")
        golden = _golden(model, samples)
        _write_golden(data / "golden.safetensors", golden)
        made_of = write_features(data, features)
        _save_pyfunc(folder, data, model.task, golden, facts.get("run_id"), model_id)
    tolerance = float(TOLERANCE * np.abs(golden.outputs).max())
    described = {"task": model.task.to_dict(), "context": model.context, "tolerance": max(tolerance, 1e-12), "samples": made_of}
    return write_manifest(folder, {**described, **facts})


def read_served(folder: Path) -> PyfuncModel:
    """Check a version's folder, load the model, and see that it still gives its golden outputs, and golden rows its golden features.

    Raises:
        RegistryError: see `finflow.pipelines.registry.files.check_files`; or the model cannot be read, or answers otherwise than when it
        was made.
        OutdatedError: the features come out otherwise.
    """
    manifest = check_files(folder)
    try:
        model = load_model(folder / DATA / "model")
        golden = _read_golden(folder / DATA / "golden.safetensors")
    except Exception as error:
        raise RegistryError(
            f"the model in {folder} cannot be read by this code and these libraries: {type(error).__name__}: {error}"
        ) from error
    if model.task != Task.from_dict(manifest["task"]):
        raise RegistryError(f"the model in {folder} answers another task than its manifest says. Train again.")
    replay(model, golden, float(manifest["tolerance"]), manifest, folder)
    _replay_features(folder, manifest)
    return PyfuncModel(model, manifest)


def replay(model: Model, golden: Golden, tolerance: float, manifest: dict[str, Any], folder: Path) -> None:
    """See that the golden inputs give the golden outputs.

    Raises:
        RegistryError: naming the largest difference, and the libraries that differ from those the version was made with.
    """
    try:
        answer = predict_windows(model, golden.inputs, golden.categories).values
    except Exception as error:
        raise RegistryError(
            f"the model in {folder} fails on its golden batch: {type(error).__name__}: {error}{_changed(manifest)}"
        ) from error
    same = answer.shape == golden.outputs.shape
    difference = float(np.abs(answer.astype(np.float64) - golden.outputs).max()) if same else float("inf")
    if not difference <= tolerance:
        raise RegistryError(
            f"the model in {folder} no longer answers as it did when it was made: its golden batch differs by {difference:.3g}, "
            f"allowed are {tolerance:.3g}{_changed(manifest)}. Restore code and libraries, or train again."
        )


def _replay_features(folder: Path, manifest: dict[str, Any]) -> None:
    try:
        replay_features(folder / DATA, manifest)
    except (OSError, ValueError, KeyError) as error:
        raise RegistryError(f"the rows in {folder} on which its features are tried cannot be read ({error}). Train again.") from error


def _load_pyfunc(data_path: str) -> PyfuncModel:
    """What MLflow calls to load a version; `data_path` is the folder data/served of it."""
    return read_served(Path(data_path).resolve().parents[len(Path(DATA).parts) - 1])


def _write_model(folder: Path, members: Sequence[Path]) -> None:
    if len(members) == 1:
        shutil.copytree(members[0], folder)
    else:
        save_ensemble(members, folder)


def _golden(model: Model, samples: Samples) -> Golden:
    labelled = np.flatnonzero(samples.index.labelled)
    chosen = labelled[np.unique(np.linspace(0, len(labelled) - 1, GOLDEN_SAMPLES).astype(np.int64))]
    inputs = samples.gather(chosen, length=model.context)
    categories = samples.gather_categories(chosen, length=model.context) if model.task.categories else None
    alone = predict_windows(model, inputs, categories).values
    within = model.predict(replace(samples, index=samples.index.take(chosen))).values
    if not np.isfinite(alone).all():
        raise RegistryError("the model gives values that are not finite on its golden batch: it is not registered.")
    difference = float(np.abs(alone.astype(np.float64) - within).max())
    if difference > TOLERANCE * float(np.abs(within).max()):
        raise RegistryError(
            f"the model reads more than the {model.context} observations that it says it does: from these alone it answers otherwise "
            f"(by {difference:.3g}). Mend its `context`."
        )
    return Golden(inputs, alone, categories)


def _write_golden(path: Path, golden: Golden) -> None:
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[Any]] = {"inputs": golden.inputs, "outputs": golden.outputs}
    if golden.categories is not None:
        arrays["categories"] = golden.categories
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def _read_golden(path: Path) -> Golden:
    from safetensors.numpy import load_file

    arrays = load_file(path)
    return Golden(arrays["inputs"], arrays["outputs"], arrays.get("categories"))


def _save_pyfunc(folder: Path, data: Path, task: Task, golden: Golden, run_id: str | None, model_id: str | None) -> None:
    """Let MLflow write its files around ours.

    The signature has no inputs on purpose: MLflow's would admit either arrays or frames of named columns, and `predict` checks both itself.
    """
    import mlflow
    from mlflow.models import Model as Described
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    outputs = Schema([TensorSpec(np.dtype(np.float32), (-1, *golden.outputs.shape[1:]))])
    metadata = {"columns": list(task.columns), "length": task.length, "levels": list(task.levels), "context": golden.inputs.shape[1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            path=str(folder),
            loader_module=LOADER,
            data_path=str(data),
            mlflow_model=Described(run_id=run_id, model_id=model_id),
            signature=ModelSignature(outputs=outputs),
            pip_requirements=_requirements(),
            metadata=metadata,
        )


def _requirements() -> list[str]:
    return [f"{name}=={number.partition('+')[0]}" for name, number in library_versions().items() if name != "python"]


def _changed(manifest: dict[str, Any]) -> str:
    """The libraries that are not those of the version's making, in words."""
    then, now = manifest.get("libraries", {}), library_versions()
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return "; since then " + ", ".join(f"{name} {then.get(name)} became {now.get(name)}" for name in names) if names else ""
