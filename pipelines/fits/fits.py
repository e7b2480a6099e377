"""Fits as jobs: a small spec, carried out in a process of its own, answered by a folder that appears by one rename.

The folders under `home.fits`, named by key, are the only truth about what is fitted. Nothing heavy is imported in this process.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from finflow.models.base import DDP, FitReport, Hardware, Prediction
from finflow.models.samples import Int64, SampleIndex
from finflow.pipelines.core.arrays import load_array
from finflow.pipelines.core.errors import FitError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import FitResult, FitSpec, Fold, PredictionResult, SampleManifest
from finflow.pipelines.core.whole_files import sweep
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.fits.data import digest_of, training_groups, unfitted
from finflow.pipelines.fits.keys import fit_key, prediction_key
from finflow.pipelines.fits.process import alone, named, run_job
from finflow.pipelines.samples.folds import select
from finflow.pipelines.samples.windows import open_samples
from finflow.pipelines.settings.parts import Recipe

Answer = TypeVar("Answer")


def plan_fits(
    context: Context,
    samples: SampleManifest,
    folds: Sequence[Fold],
    recipes: Mapping[str, Recipe],
    hardware: Hardware,
    seeds: Sequence[int],
) -> tuple[FitSpec, ...]:
    """The fits of every recipe on every fold: one a seed for models whose fits differ by seed, else one (seed 0).

    Remains of killed runs are removed on the way.
    """
    sweep(context.home.fits)
    hardware = resolved(hardware)
    view = open_samples(samples.folder)
    digests: dict[tuple[Fold, int], str] = {}
    specs = []
    for candidate, recipe in recipes.items():
        model = unfitted(recipe.model, recipe.settings, samples.task)
        whole = recipe.model_copy(update={"settings": model.settings.model_dump(mode="json")})  # defaults are settings, too
        used = hardware if model.accelerated else Hardware(threads=hardware.threads)
        for fold in folds:
            blank = _blank(context, samples, fold, candidate, whole, used)
            place = (fold, model.context)
            if place not in digests:
                digests[place] = digest_of(view, training_groups(blank, view), model.context)
            for seed in seeds if model.seeded else (0,):
                key = fit_key(digests[place], blank.model, blank.settings, samples.task, seed, used)
                specs.append(replace(blank, key=key, seed=seed, rows_digest=digests[place]))
    return tuple(specs)


def _blank(context: Context, samples: SampleManifest, fold: Fold, candidate: str, recipe: Recipe, hardware: Hardware) -> FitSpec:
    """What all seeds' fits of a recipe on a fold have in common; key, seed and rows' digest are not set."""
    return FitSpec(
        key="",
        definition=context.name,
        candidate=candidate,
        model=recipe.model,
        settings=recipe.settings,
        fold=fold,
        embargo=context.definition.folds.embargo,
        seed=0,
        hardware=hardware,
        samples=str(samples.folder),
        task=samples.task,
        rows_digest="",
    )


def carry_out(spec: FitSpec, home: Home) -> FitResult:
    """Fit in a process of its own, and predict the fold's test part in the same go; a finished fit is taken as it is.

    Raises:
        FitError: naming candidate, fold and seed; the model failed, or its process was lost.
    """
    final = home.fits / spec.key
    reused = (final / "fit.json").is_file()
    if not reused:
        with alone(home, spec.key):
            reused = (final / "fit.json").is_file()
            if not reused:
                run_job(spec, home, fit=True, prediction=_prediction_key(spec))
    seconds = float(json.loads((final / "fit.json").read_text(encoding="utf-8"))["seconds"])
    return FitResult(spec.key, spec.candidate, spec.fold.name, spec.seed, str(final), reused, seconds)


def predict_fit(spec: FitSpec, result: FitResult, home: Home) -> PredictionResult:
    """The predictions of a finished fit for its fold's test samples; those there are already are taken as they are.

    Raises:
        FitError: the fold has no test samples, the model failed, or its process was lost.
    """
    key = _prediction_key(spec)
    if key is None:
        raise FitError(f"{named(spec)}: there is no test sample to predict.")
    final = home.fits / key
    reused = (final / "prediction.json").is_file()
    if not reused:
        with alone(home, key):
            reused = (final / "prediction.json").is_file()
            if not reused:
                run_job(spec, home, fit=False, prediction=key)
    return PredictionResult(result, str(final), reused, spec.samples, spec.fold, spec.embargo)


def read_predictions(result: PredictionResult) -> tuple[Int64, Prediction]:
    """Positions of the test samples in the run's samples, int64 [n], and what the fit predicts for them, in that order."""
    folder = Path(result.folder)
    record = json.loads((folder / "prediction.json").read_text(encoding="utf-8"))
    values = load_array(folder / "values.npy")
    positions = _test_positions(result.samples, result.split, result.embargo)
    if len(positions) != len(values):
        raise FitError(f"{folder} holds {len(values)} predictions for {len(positions)} samples: remove the folder and train again.")
    return positions, Prediction(record["kind"], values, tuple(record["levels"]))


def read_report(result: FitResult) -> FitReport:
    """What happened in the fit: epochs, parameters, notes."""
    report = json.loads((Path(result.folder) / "fit.json").read_text(encoding="utf-8"))["report"]
    return FitReport(**{**report, "epochs": tuple(report["epochs"])})


def carry_out_all(
    specs: Sequence[FitSpec], home: Home, workers: int | None = None, on_done: Callable[[FitSpec], None] | None = None
) -> list[PredictionResult | FitError]:
    """Fit and predict every spec of a test fold, `workers` at once (default: one a core); failures stand in their places."""
    return _all(lambda spec: predict_fit(spec, carry_out(spec, home), home), specs, workers, on_done)


def fit_all(
    specs: Sequence[FitSpec], home: Home, workers: int | None = None, on_done: Callable[[FitSpec], None] | None = None
) -> list[FitResult | FitError]:
    """Fit every spec (of a production fold, say), `workers` at once; failures stand in their places."""
    return _all(lambda spec: carry_out(spec, home), specs, workers, on_done)


def resolved(hardware: Hardware) -> Hardware:
    """The hardware with `auto` and aliases replaced by what they stand for on this machine: it is part of the key.

    Raises:
        FitError: an accelerator that is not known, or a GPU that is not there: no fit is tried, and nothing is decided without networks.
    """
    names = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "mps": "mps", "auto": "cuda" if _has_cuda() else "cpu"}
    if hardware.accelerator not in names:
        raise FitError(f"accelerator {hardware.accelerator!r} is not known: use cpu, gpu or auto.")
    if hardware.accelerator in ("gpu", "cuda") and not _has_cuda() and not _torch_sees_cuda():
        raise FitError(f"accelerator {hardware.accelerator!r}: this machine shows no CUDA device: use cpu, or auto.")
    strategy = hardware.strategy if hardware.strategy not in DDP else "ddp" if hardware.devices > 1 else "auto"
    return replace(hardware, accelerator=names[hardware.accelerator], strategy=strategy)


def _has_cuda() -> bool:
    """Whether the driver shows a device, without loading torch here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible not in ("", "-1") and any(Path("/dev").glob("nvidia[0-9]*"))


def _torch_sees_cuda() -> bool:
    """The last word, where the driver's device files have other names; loading torch takes seconds."""
    import torch

    return bool(torch.cuda.is_available())


def _all(
    work: Callable[[FitSpec], Answer], specs: Sequence[FitSpec], workers: int | None, on_done: Callable[[FitSpec], None] | None
) -> list[Answer | FitError]:
    def one(spec: FitSpec) -> Answer | FitError:
        try:
            return work(spec)
        except FitError as error:
            return error
        finally:
            if on_done:
                on_done(spec)

    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(one, specs))


def _prediction_key(spec: FitSpec) -> str | None:
    """The key of the predictions of the fold's test samples, or None if there are none."""
    context = unfitted(spec.model, spec.settings, spec.task).context
    digest = _test_digest(spec.samples, spec.fold, spec.embargo, context)
    return prediction_key(spec.key, digest) if digest else None


@functools.lru_cache(maxsize=256)
def _test_digest(folder: str, fold: Fold, embargo: int, context: int) -> str | None:
    """Digest of what the test samples of a fold read. Folders of samples are named by content, so it may be kept."""
    positions = _test_positions(folder, fold, embargo)
    if not len(positions):
        return None
    samples = open_samples(folder)
    blind = _without_targets(samples.index)
    return digest_of(replace(samples, index=blind), [positions], context)


@functools.lru_cache(maxsize=256)
def _test_positions(folder: str, fold: Fold, embargo: int) -> Int64:
    return select(fold, open_samples(folder).index, embargo).test


def _without_targets(index: SampleIndex) -> SampleIndex:
    """The index as a prediction sees it: targets, their dates and label spans do not bear on it."""
    nat = np.full_like(index.label_start, np.datetime64("NaT"))
    return replace(
        index,
        label_start=nat,
        label_end=nat,
        target=np.full_like(index.target, np.nan),
        target_time=np.full_like(index.target_time, np.datetime64("NaT")),
    )
