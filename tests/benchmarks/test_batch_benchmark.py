"""Drawing a batch of windows, against a bare index gather on one tensor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from finflow.models.base import Task
from finflow.models.networks.batches import Batches, prepare
from finflow.models.networks.scaling import fit_scaling
from finflow.models.samples import Samples
from tests.benchmarks.figures import record
from tests.support.models.network_cases import panel

LENGTH, BATCH = 60, 256


def seconds(*works: Callable[[int], object], rounds: int = 400) -> list[float]:
    """The median of each, measured turn by turn, so that a busy machine slows all alike."""
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 20):
        for work, own in zip(works, taken, strict=True):
            begin = time.perf_counter()
            work(number)
            own.append(time.perf_counter() - begin)
    return [float(np.median(own[20:])) for own in taken]


def prices(series: int, days: int, columns: int) -> tuple[Samples, Task]:
    random = np.random.default_rng(0)
    samples, task = panel(list(random.normal(0, 0.01, (series, days))), length=LENGTH, horizon=1)
    values = random.standard_normal((series * days, columns), dtype=np.float32)
    names = tuple(f"c{number}" for number in range(columns))
    observations = replace(samples.observations, values=values, columns=names)
    return replace(samples, observations=observations), replace(task, columns=names, features=names, increment=None, level=None)


@pytest.mark.benchmark
def test_drawing_a_batch() -> None:
    torch.set_num_threads(1)
    drawn: dict[tuple[int, int, int], tuple[float, float]] = {}
    for shape in ((32, 2_500, 12), (32, 5_000, 32), (32, 25_000, 12), (320, 2_500, 12)):
        samples, task = prices(*shape)
        scaling = fit_scaling("standard", samples, task, samples.targets.astype(np.float64))
        batches = Batches(samples, scaling, task, prepared=prepare(samples, scaling, task))
        assert batches.prepared is not None
        tensor = torch.from_numpy(batches.prepared)
        random = np.random.default_rng(1)
        chosen = [random.integers(0, len(samples), BATCH) for _ in range(64)]
        starts = torch.from_numpy(batches.starts)
        steps = torch.arange(LENGTH)

        def gather(
            number: int, tensor: torch.Tensor = tensor, chosen: list = chosen, starts: torch.Tensor = starts, steps: torch.Tensor = steps
        ) -> torch.Tensor:
            rows = starts[torch.from_numpy(chosen[number % 64])][:, None] + steps
            return tensor.index_select(0, rows.reshape(-1)).view(BATCH, LENGTH, -1)

        def draw(number: int, batches: Batches = batches, chosen: list = chosen) -> torch.Tensor:
            return torch.from_numpy(batches.draw(chosen[number % 64]))

        assert torch.equal(draw(3), gather(3))
        own, bare = seconds(draw, gather)
        drawn[shape] = own, bare
        record(
            f"drawing a batch of {BATCH} windows of {LENGTH} from {' x '.join(map(str, shape))}",
            ratio=own / bare,
            at_most=1.15,
            milliseconds=own * 1e3,
            bare_milliseconds=bare * 1e3,
        )
        assert own / bare < 1.15
    # A larger tensor misses the cache more often, whoever gathers from it; what counts is growth beyond the bare gather's.
    growth = {
        name: [larger / base for larger, base in zip(drawn[shape], drawn[(32, 2_500, 12)], strict=True)]
        for name, shape in (("length", (32, 25_000, 12)), ("series", (320, 2_500, 12)))
    }
    for name, (own, bare) in growth.items():
        record(f"drawing a batch: growth with ten times the {name}", growth=own, bare_growth=bare)
        assert own / bare < 1.5
