"""What `test_training_flow_benchmark` runs in a process of its own: the flow, then the same fits in bare processes.

python -c "import sys; from tests.benchmarks.flow_and_bare import main; main(sys.argv[1:])" NAME AS_OF WARM_DEFINITION HOME [CANDIDATES]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from finflow.models.samples import Samples
from finflow.models.zoo import model_class
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import FitSpec
from finflow.pipelines.fits.process import PRELOAD
from finflow.pipelines.fits.worker import spec_from
from finflow.pipelines.samples.folds import select
from finflow.pipelines.samples.store import open_samples

_SAMPLES: list[Samples] = []


def main(arguments: list[str]) -> None:
    """Run both and print one JSON object."""
    name, as_of, warm, root, *candidates = arguments
    flow, outcome = run_flow(name, as_of, warm, Path(root), candidates or None)
    fits = Path(root) / "fits"
    specs = finished(fits)
    assert outcome["fitted"] == sum(spec.fold.name != "production" for spec in specs), "the home was not empty, or a fit is missing"
    bare, predictions = run_bare(specs)
    for spec, values in zip(specs, predictions, strict=True):
        np.testing.assert_array_equal(values, stored_prediction(fits, spec))
    found = {"flow_seconds": flow.wall, "bare_seconds": bare.wall, "flow_processor_seconds": flow.processor}
    print(json.dumps({**found, "bare_processor_seconds": bare.processor, "fits": len(specs), "processes": processes()}))


@dataclass
class Seconds:
    """What something took: by the clock, and on the processors, by this process and all below it."""

    wall: float = 0.0
    processor: float = 0.0


@contextmanager
def measured() -> Iterator[Seconds]:
    """The seconds of the block, known at its end. The processes that it began must still be there, or their parents."""
    seconds = Seconds()
    processor, wall = _processor_seconds(), time.perf_counter()
    yield seconds
    seconds.wall = time.perf_counter() - wall
    seconds.processor = _processor_seconds() - processor


def _processor_seconds() -> float:
    own = psutil.Process()
    below = [one.cpu_times() for one in own.children(recursive=True)]
    return sum(sum(times[:4]) for times in below) + sum(own.cpu_times()[:4])


def processes() -> int:
    """As many as the flow runs at once."""
    return len(os.sched_getaffinity(0))


def run_flow(name: str, as_of: str, warm: str, root: Path, candidates: list[str] | None) -> tuple[Seconds, dict[str, Any]]:
    """Seconds of the flow in the empty home `root`, and what it answers."""
    from finflow.flows.servers.environment import prepare_environment
    from finflow.flows.servers.server import prefect_server

    warm_home = root.with_name(f"{root.name}-warm")
    os.environ["FINFLOW_HOME"] = str(warm_home)
    prepare_environment(Home.from_environment())
    with prefect_server(Home.from_environment()):
        from finflow.flows.train import train_flow

        train_flow(warm)
        from finflow.pipelines.tracking.store import prepare_store

        os.environ.update(FINFLOW_HOME=str(root), MLFLOW_TRACKING_URI=f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")
        prepare_store(Home.from_environment())
        with measured() as seconds:
            outcome = train_flow(name, as_of, candidates)
    return seconds, outcome


def finished(fits: Path) -> list[FitSpec]:
    """Every fit in the folder, in the order in which they ended."""
    found = sorted(fits.glob("*/fit.json"), key=lambda path: path.stat().st_mtime_ns)
    return [spec_from(json.loads(path.read_text(encoding="utf-8"))["spec"]) for path in found]


def stored_prediction(fits: Path, spec: FitSpec) -> NDArray[np.float32] | None:
    """What the flow's fit predicted for its test part; None where it has none."""
    for path in fits.glob("*/prediction.json"):
        if json.loads(path.read_text(encoding="utf-8"))["fit"] == spec.key:
            return np.asarray(np.load(path.with_name("values.npy"), allow_pickle=False))
    return None


def run_bare(specs: list[FitSpec]) -> tuple[Seconds, list[NDArray[np.float32] | None]]:
    """Seconds of all fits and predictions in a pool of processes that stands ready, and the predictions."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    with ProcessPoolExecutor(processes(), mp_context=context, initializer=_ready, initargs=(specs[0].samples,)) as pool:
        list(pool.map(_wait, [0.5] * processes()))
        with measured() as seconds:
            predictions = list(pool.map(_fit_and_predict, specs))
    return seconds, predictions


def _ready(folder: str) -> None:
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    torch.set_num_threads(1)
    _SAMPLES.append(open_samples(folder))


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def _fit_and_predict(spec: FitSpec) -> NDArray[np.float32] | None:
    from finflow.models.base import Task

    samples = _SAMPLES[0]
    kind = model_class(spec.model)
    model = kind(kind.Settings.model_validate(spec.settings), Task.from_dict(spec.task))
    chosen = select(spec.fold, samples.index, spec.embargo)
    model.fit(samples.take(chosen.train), samples.take(chosen.validation), seed=spec.seed, hardware=spec.hardware)
    return np.asarray(model.predict(samples.take(chosen.test)).values) if len(chosen.test) else None
