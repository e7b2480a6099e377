"""A model as it is served: an MLflow pyfunc loaded by this module, from safetensors and JSON, with a golden batch that it must reproduce.

MLflow calls `_load_pyfunc` when a version is loaded with `mlflow.pyfunc.load_model("models:/NAME@champion")`.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.base import Model, Prediction, Task
from models.samples import Samples, from_windows
from pipelines.errors import RegistryError
from pipelines.served_files import DATA, LOADER, check_files, write_manifest

if TYPE_CHECKING:
    import pandas as pd

Float32 = NDArray[np.float32]
GOLDEN_SAMPLES = 64
#: a golden output may differ by this part of the largest one (libraries and processors round differently)
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Golden:
    """Raw inputs [n, context, columns] and the outputs that they gave when the version was made; float32."""

    inputs: Float32
    outputs: Float32


class PyfuncModel:
    """What MLflow hands to a caller: raw feature rows in, quantiles (or classes, scores, paths) out.

    Attributes:
        model: the fitted model.
        manifest: what the version's manifest says.
    """

    def __init__(self, model: Model, manifest: dict[str, Any]) -> None:
        self.model = model
        self.manifest = manifest

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Predict from raw observations.

        Args:
            model_input: an array [n, rows, columns], each window's rows in time order, columns as in `manifest["task"]["columns"]`;
                or a pandas frame of raw feature rows with these columns by name, in time order: with a column `entity` one window an
                entity, each ending at the entity's last row; without it one window.
            params: none are known.

        Returns:
            For an array: float32 as `models.base.Prediction` lays it out. For a frame: a frame with a row a window, columns `h1_q05`, ...
            (or a class name, `h1`), indexed by entity.

        Raises:
            ValueError: too few rows, a missing column, or a value that is not finite.
        """
        import pandas as pd

        if isinstance(model_input, pd.DataFrame):
            names, windows = self._windows_of(model_input)
            return self._as_frame(self._predict(windows), names)
        return self._predict(np.asarray(model_input, dtype=np.float32)).values

    def _predict(self, windows: Float32) -> Prediction:
        task = self.model.task
        if windows.ndim != 3 or windows.shape[2] != len(task.columns) or windows.shape[1] < task.length:
            raise ValueError(
                f"the input has shape {windows.shape}; expected [windows, at least {task.length} rows, {len(task.columns)} columns: "
                f"{', '.join(task.columns)}]"
            )
        if not np.isfinite(windows[:, -task.length :]).all():
            raise ValueError(f"a value in the last {task.length} rows of a window is not finite")
        return predict_windows(self.model, fitted_context(windows, self.model.context))

    def _windows_of(self, frame: pd.DataFrame) -> tuple[list[Any], Float32]:
        columns, context = list(self.model.task.columns), self.model.context
        absent = [name for name in columns if name not in frame.columns]
        if absent:
            raise ValueError(
                f"the frame has no column {', '.join(absent)}; expected {', '.join(columns)}, and `entity` if there are several"
            )
        groups = list(frame.groupby("entity", sort=False)) if "entity" in frame.columns else [(0, frame)]
        windows = []
        for name, rows in groups:
            values = rows[columns].to_numpy(dtype=np.float32)
            if len(values) < self.model.task.length:
                raise ValueError(f"entity {name!r} has {len(values)} rows; a window needs {self.model.task.length}")
            windows.append(fitted_context(values[None], context))
        return [name for name, _ in groups], np.concatenate(windows)

    def _as_frame(self, prediction: Prediction, names: list[Any]) -> pd.DataFrame:
        import pandas as pd

        from pipelines.problems.quantile_scores import quantile_column

        task, values = self.model.task, prediction.values.astype(np.float64)
        if prediction.kind == "quantiles":
            labels = [f"h{step + 1}_{quantile_column(level)}" for step in range(task.outputs) for level in prediction.levels]
        elif prediction.kind == "probabilities":
            labels = list(task.classes)
        elif prediction.kind in ("scores", "variances"):
            labels = [f"h{step + 1}" for step in range(task.outputs)]
        else:
            labels = [f"path{path + 1}_h{step + 1}" for path in range(values.shape[1]) for step in range(task.outputs)]
        return pd.DataFrame(values.reshape(len(values), -1), columns=labels, index=pd.Index(names, name="entity"))


def fitted_context(windows: Float32, context: int) -> Float32:
    """Windows of exactly `context` rows: the newest of longer ones, NaN before shorter ones (as before an entity's first row)."""
    rows = windows.shape[1]
    if rows >= context:
        return windows[:, rows - context :]
    missing = np.full((len(windows), context - rows, windows.shape[2]), np.nan, dtype=np.float32)
    return np.concatenate([missing, windows], axis=1)


def predict_windows(model: Model, windows: Float32) -> Prediction:
    """Predict ready-made raw windows, float32 [n, context, columns]."""
    return model.predict(from_windows(windows, model.task.columns, model.task.length, model.task.outputs))


def write_served(
    folder: Path,
    members: Sequence[Path],
    samples: Samples,
    facts: dict[str, Any],
    *,
    run_id: str | None = None,
    model_id: str | None = None,
) -> str:
    """Write a version's folder from the model folders of finished fits (several are averaged); the digest of its manifest.

    Args:
        folder: does not exist yet.
        members: folders that models/saving.py wrote.
        samples: what the golden batch is drawn from, evenly over all labelled samples.
        facts: further JSON values for the manifest.
        run_id, model_id: MLflow's, of the run and the logged model that the version belongs to.

    Raises:
        RegistryError: the model gives other numbers from the windows alone than from the run's samples, or numbers that are not finite.
    """
    import tempfile

    from models.saving import load_model

    with tempfile.TemporaryDirectory(prefix="finflow-") as scratch:
        data = Path(scratch) / Path(DATA).name
        data.mkdir()
        _write_model(data / "model", members)
        model = load_model(data / "model")
        golden = _golden(model, samples)
        _write_golden(data / "golden.safetensors", golden)
        _save_pyfunc(folder, data, model.task, golden, run_id, model_id)
    tolerance = float(TOLERANCE * np.abs(golden.outputs).max())
    described = {"task": model.task.to_dict(), "context": model.context, "tolerance": max(tolerance, 1e-12), **facts}
    return write_manifest(folder, described)


def read_served(folder: Path) -> PyfuncModel:
    """Check a version's folder, load the model, and see that it still gives its golden outputs.

    Raises:
        RegistryError: see `served_files.check_files`; or the model cannot be read, or answers otherwise than when it was made.
    """
    from models.saving import load_model

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
    return PyfuncModel(model, manifest)


def replay(model: Model, golden: Golden, tolerance: float, manifest: dict[str, Any], folder: Path) -> None:
    """See that the golden inputs give the golden outputs.

    Raises:
        RegistryError: naming the largest difference, and the libraries that differ from those the version was made with.
    """
    try:
        answer = predict_windows(model, golden.inputs).values
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


def _load_pyfunc(data_path: str) -> PyfuncModel:
    """What MLflow calls to load a version; `data_path` is the folder data/served of it."""
    return read_served(Path(data_path).resolve().parents[len(Path(DATA).parts) - 1])


def _write_model(folder: Path, members: Sequence[Path]) -> None:
    from models.ensemble import save_ensemble

    if len(members) == 1:
        shutil.copytree(members[0], folder)
    else:
        save_ensemble(members, folder)


def _golden(model: Model, samples: Samples) -> Golden:
    labelled = np.flatnonzero(samples.index.labelled)
    chosen = labelled[np.unique(np.linspace(0, len(labelled) - 1, GOLDEN_SAMPLES).astype(np.int64))]
    inputs = samples.gather(chosen, length=model.context)
    alone = predict_windows(model, inputs).values
    within = model.predict(replace(samples, index=samples.index.take(chosen))).values
    if not np.isfinite(alone).all():
        raise RegistryError("the model gives values that are not finite on its golden batch: it is not registered.")
    difference = float(np.abs(alone.astype(np.float64) - within).max())
    if difference > TOLERANCE * float(np.abs(within).max()):
        raise RegistryError(
            f"the model reads more than the {model.context} observations that it says it does: from these alone it answers otherwise "
            f"(by {difference:.3g}). Mend its `context`."
        )
    return Golden(inputs, alone)


def _write_golden(path: Path, golden: Golden) -> None:
    from safetensors.numpy import save_file

    save_file({"inputs": np.ascontiguousarray(golden.inputs), "outputs": np.ascontiguousarray(golden.outputs)}, path)


def _read_golden(path: Path) -> Golden:
    from safetensors.numpy import load_file

    arrays = load_file(path)
    return Golden(arrays["inputs"], arrays["outputs"])


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
    from pipelines.fit_keys import library_versions

    return [f"{name}=={number.partition('+')[0]}" for name, number in library_versions().items() if name != "python"]


def _changed(manifest: dict[str, Any]) -> str:
    """The libraries that are not those of the version's making, in words."""
    from pipelines.fit_keys import library_versions

    then, now = manifest.get("libraries", {}), library_versions()
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return "; since then " + ", ".join(f"{name} {then.get(name)} became {now.get(name)}" for name in names) if names else ""
