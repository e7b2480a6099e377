"""What happens inside a fit's own process: fit, save, predict the fold's test part, and put each in place by one rename.

A job is a folder: `job.json` says what to do; `outcome.json` is written at the end; everything printed goes to `log.txt`.
Runs in a forked process (`run_forked`), or as a program of its own, `python -m finflow.pipelines.fits.worker FOLDER`.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np

from finflow.models.base import Hardware
from finflow.models.errors import FitFailure, FitProcessLost
from finflow.models.saving import load_model, save_model
from finflow.models.zoo import ZOO
from finflow.pipelines.core.disk import no_space
from finflow.pipelines.core.errors import FinflowError, FitError
from finflow.pipelines.core.manifests import FitSpec, fold_from
from finflow.pipelines.core.whole_files import whole_folder, write_whole

#: what numerical libraries read as they are loaded
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def bound(target: Callable[..., None], *arguments: Any) -> None:
    """Call `target` in this process, which was forked for it, and which ends when its parent does."""
    parent = parent_process()
    if parent is not None:
        _end_with(parent.join)
    gc.freeze()  # collections need not walk what the libraries hold, nor copy its pages
    target(*arguments)


def run_forked(folder: str) -> None:
    """Carry out the job in `folder` in this process, with what it prints going to the job's log."""
    log = os.open(Path(folder) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    run(Path(folder))


def run(folder: Path) -> None:
    """Carry out the job in `folder`, in a process of its own, and write its outcome."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)  # of a killed process nothing is left once the job's folder goes
    try:
        job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        work(folder, job)
        outcome: dict[str, Any] = {"ok": True}
    except (FitFailure, FinflowError, MemoryError) as error:
        lost = isinstance(error, FitProcessLost)
        outcome = {"ok": False, "expected": True, "lost": lost, "reason": str(error) or type(error).__name__}
    except Exception as error:
        if no_space(error, "the fit", folder) is not None:
            sys.exit(errno.ENOSPC)  # there is no room for words either
        traceback.print_exc()
        outcome = {"ok": False, "expected": False, "reason": f"{type(error).__name__}: {error}"}
    if not _first_process():
        return
    try:
        write_whole(folder / "outcome.json", json.dumps(outcome))
    except OSError as error:
        sys.exit(error.errno)


def work(folder: Path, job: dict[str, Any]) -> None:
    """Fit unless that is done, and predict the test part unless that is done or there is none."""
    # late: loads pandas, pyarrow
    from finflow.pipelines.samples.windows import open_samples

    spec = spec_from(job["spec"])
    ZOO.setdefault(spec.model, job["class"])
    _limit_threads(spec.hardware.threads)
    samples = open_samples(spec.samples)
    fits = Path(job["fits"])
    if job["fit"]:
        _fit(folder, fits, spec, samples, job["libraries"])
    if job["prediction"] and _first_process():
        _predict(folder, fits, spec, samples, job["prediction"])


def spec_from(values: dict[str, Any]) -> FitSpec:
    """A spec from its JSON values."""
    return FitSpec(**{**values, "fold": fold_from(values["fold"]), "hardware": Hardware(**values["hardware"])})


def _fit(folder: Path, fits: Path, spec: FitSpec, samples: Any, libraries: dict[str, str]) -> None:
    # late: loads pandas
    from finflow.pipelines.fits.data import cut, digest_of, training_groups, unfitted

    model = unfitted(spec.model, spec.settings, spec.task)
    groups = training_groups(spec, samples)
    if digest_of(samples, groups, model.context) != spec.rows_digest:
        raise FitError(f"the samples in {spec.samples} are not those that the fit was planned for: run the training again.")
    train, validation = cut(samples, groups, model.context, folder)
    started = time.perf_counter()
    report = model.fit(train, validation, seed=spec.seed, hardware=spec.hardware)
    seconds = time.perf_counter() - started
    if not _first_process():
        return
    record = {
        "spec": asdict(spec),
        "report": asdict(report),
        "seconds": seconds,
        "train": len(train),
        "validation": len(validation),
        "libraries": libraries,
    }
    with whole_folder(fits / spec.key) as part:
        save_model(model, part / "model")
        (part / "fit.json").write_text(json.dumps(record, indent=1, default=_plain), encoding="utf-8")


def _predict(folder: Path, fits: Path, spec: FitSpec, samples: Any, key: str) -> None:
    # late: loads pandas
    from finflow.pipelines.fits.data import cut, test_group

    model = load_model(fits / spec.key / "model")
    (test,) = cut(samples, [test_group(spec, samples)], model.context, folder)
    prediction = model.predict(test)
    record = {"fit": spec.key, "kind": prediction.kind, "levels": list(prediction.levels), "samples": len(test)}
    with whole_folder(fits / key) as part:
        np.save(part / "values.npy", prediction.values, allow_pickle=False)
        (part / "prediction.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def _limit_threads(threads: int) -> None:
    """Bits of a sum depend on the number of threads; fits run side by side, one a core."""
    if any(os.environ.get(name) != str(threads) for name in THREADS):  # else the libraries were loaded with it
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _first_process() -> bool:
    """Whether this is the process that writes, where a strategy runs several."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _end_with(wait: Any) -> None:
    """End this process as soon as `wait` returns: without its parent nobody wants the result."""

    def watch() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays in a model's notes, as JSON values."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return str(value)


if __name__ == "__main__":
    # Not by sys.stdin: a process forked from this one would wait for its lock.
    _end_with(lambda: os.read(0, 1))
    run(Path(sys.argv[1]))
