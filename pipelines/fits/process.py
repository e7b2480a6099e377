"""Processes for fits: forked from one that has the libraries loaded, or programs of their own. A job is a folder; see
`finflow.pipelines.fits.worker`."""

from __future__ import annotations

import errno
import json
import multiprocessing.forkserver
import os
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.models.base import DDP, Hardware
from finflow.models.zoo import ZOO
from finflow.pipelines.core.code import library_versions
from finflow.pipelines.core.disk import full, looks_full
from finflow.pipelines.core.errors import FitError, FitLostError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import FitSpec
from finflow.pipelines.core.processes import CORES
from finflow.pipelines.core.whole_files import part_of
from finflow.pipelines.fits.worker import THREADS, bound, run_forked

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

#: imported once, in the process that the fits are forked from
PRELOAD = (
    "numpy",
    "pandas",
    "torch",
    "pytorch_lightning",
    "statsmodels.tsa.arima.model",
    "statsmodels.base.covtype",
    "sklearn.linear_model",
    "safetensors.torch",
    "safetensors.numpy",
    "threadpoolctl",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "pyarrow.parquet",
    "finflow.pipelines.samples.windows",
    "finflow.pipelines.samples.folds",
    "finflow.pipelines.fits.worker",
    "finflow.pipelines.fits.data",
    "finflow.models.saving",
    "finflow.models.networks.recurrent",
    "finflow.models.networks.cnn",
    "finflow.models.networks.dense",
    "finflow.models.networks.gan",
    "finflow.models.forecasts.arima",
    "finflow.models.forecasts.ridge",
    "finflow.models.forecasts.random_walk",
    "finflow.models.forecasts.historical_mean",
    "finflow.models.networks.modules.trainer",
    "finflow.models.networks.modules.recurrent",
    "finflow.models.networks.modules.cnn",
    "finflow.models.networks.modules.dense",
    "finflow.models.networks.modules.gan_training",
)
_STARTING = threading.Lock()
_WARM = threading.Event()


def warm(threads: int = 1) -> None:
    """Begin to load the libraries in the process that fits are forked from, and return at once: the first fit then waits for less."""
    with _STARTING, _one_thread(threads):
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOAD))
        multiprocessing.forkserver.ensure_running()
    _WARM.set()


def warm_up_first(home: Home) -> None:
    """Warm early in a home without fits, where some are sure to be due; elsewhere the first fit that is due does it, if there is one."""
    if not home.fits.is_dir() or all(path.name.startswith(".") for path in home.fits.iterdir()):
        warm()


def is_warm() -> bool:
    """Whether there is a process to fork from: beginning one takes seconds."""
    return _WARM.is_set()


def fork(target: Callable[..., None], *arguments: Any, threads: int = 1, parental: bool = False) -> BaseProcess:
    """Begin a process that has the libraries loaded, and that ends with this one.

    Args:
        parental: it may begin processes itself; this one then waits for it before it ends.
    """
    import multiprocessing

    warm(threads)
    with _STARTING, _without_main():
        process = multiprocessing.get_context("forkserver").Process(target=bound, args=(target, *arguments), daemon=not parental)
        process.start()
    return process


def named(spec: FitSpec) -> str:
    """The fit, as messages call it."""
    return f"{spec.candidate}, fold {spec.fold.name}, seed {spec.seed}"


def run_job(spec: FitSpec, home: Home, *, fit: bool, prediction: str | None) -> None:
    """Carry out a job in a process of its own.

    Raises:
        FitError: it failed, or ended without an outcome.
        DiskFullError: for want of room.
    """
    home.fits.mkdir(parents=True, exist_ok=True)
    folder = part_of(home.fits / "job")
    folder.mkdir()
    try:
        job = {"spec": asdict(spec), "class": ZOO[spec.model], "fits": str(home.fits), "fit": fit, "prediction": prediction}
        job["libraries"] = library_versions()
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        hardware = spec.hardware
        together = hardware.strategy in DDP and hardware.threads == 1  # see `strategy_of` in finflow.models.networks.modules.trainer
        by_fork = hardware.accelerator == "cpu" and (hardware.devices == 1 or together)
        with CORES.taken(hardware.devices if hardware.accelerator == "cpu" else 1):
            code = _forked(folder, hardware) if by_fork else _program(folder, hardware)
        _check_outcome(spec, home, folder, code)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_outcome(spec: FitSpec, home: Home, folder: Path, code: int) -> None:
    try:
        outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        if code == errno.ENOSPC or looks_full(folder):
            raise full(f"the fit of {named(spec)}", home.fits) from None
        cause = f"ended by signal {-code} (9: often for want of memory)" if code < 0 else f"ended with code {code}"
        raise FitLostError(f"{named(spec)}: its process was lost, {cause}.{_kept_log(spec, home, folder)}") from None
    if not outcome["ok"] and outcome.get("lost"):
        raise FitLostError(f"{named(spec)}: {outcome['reason']}.{_kept_log(spec, home, folder)}")
    if not outcome["ok"]:
        log = "" if outcome["expected"] else _kept_log(spec, home, folder)
        raise FitError(f"{named(spec)}: {outcome['reason']}{log}")


def _kept_log(spec: FitSpec, home: Home, folder: Path) -> str:
    """Keep what the process printed, and say where."""
    log = folder / "log.txt"
    if not log.is_file() or not log.stat().st_size:
        return ""
    logs = home.root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    kept = logs / f"fit-{spec.key}.log"
    shutil.copyfile(log, kept)
    return f" What it printed: {kept}"


def _forked(folder: Path, hardware: Hardware) -> int:
    """Fork the job from a process that has the libraries loaded; its exit code."""
    process = fork(run_forked, str(folder), threads=hardware.threads, parental=hardware.devices > 1)
    process.join()
    code = process.exitcode
    process.close()
    return int(code or 0)


def _program(folder: Path, hardware: Hardware) -> int:
    """Run the job as a program of its own (CUDA survives no fork; some strategies of Lightning's run the program again)."""
    environment = {**os.environ, **dict.fromkeys(THREADS, str(hardware.threads))}
    with (folder / "log.txt").open("ab") as log:
        command = [sys.executable, "-m", "finflow.pipelines.fits.worker", str(folder)]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.kill()
            if process.stdin:
                process.stdin.close()


@contextmanager
def _one_thread(threads: int) -> Iterator[None]:
    """The environment that a process to be started inherits: numerical libraries read it once, as they are loaded."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_main() -> Iterator[None]:
    """A process started meanwhile does not run the caller's script again: it needs nothing of it, and an unguarded one would train anew."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def alone(home: Home, key: str) -> Iterator[None]:
    """One process at a time works on a key: another training that wants the same waits for it and then takes it."""
    from filelock import FileLock

    locks = home.fits / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / key):
        yield
