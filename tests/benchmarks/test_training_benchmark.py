"""Training throughput through the whole of finflow's training, against a bare PyTorch loop over the same batches and epochs.

Both end with the same weights, on the CPU to the bit, so they did the same work. One thread each; on a GPU too, where there is one.
finflow's time holds everything between `fit` called and `fit` answered: scaling, Lightning's set-up, validation each epoch, the best
weights kept. The bare loop draws from scaled tensors that are ready.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from finflow.models.base import Hardware, Task
from finflow.models.networks.modules.training import VALIDATION_BATCH, Training
from finflow.models.networks.network import Network
from finflow.models.networks.scaling import fit_scaling
from finflow.models.samples import Samples
from finflow.models.zoo import model_class
from tests.benchmarks.figures import record
from tests.support.models.network_cases import panel

WANTED = {"lstm": 0.9, "cnn": 0.9, "dense": 0.85}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("recurrent", {"epochs": 3, "patience": 100}),
    "cnn": ("cnn", {"epochs": 3, "patience": 100}),
    "dense": ("dense", {"epochs": 12, "patience": 100}),
}


def market(features: int = 12) -> tuple[Samples, Task]:
    """24 series of 600 days: 60 days in, 5 out."""
    random = np.random.default_rng(0)
    samples, task = panel(list(random.normal(0, 0.01, (24, 600))), length=60, horizon=5)
    names = tuple(f"c{number}" for number in range(features))
    values = random.standard_normal((len(samples.observations.values), features), dtype=np.float32)
    observations = replace(samples.observations, values=values, columns=names)
    return replace(samples, observations=observations), replace(task, columns=names, features=names, increment=None, level=None)


def bare_fit(model: Network, train: Samples, validation: Samples, seed: int, device: str) -> tuple[float, dict[str, torch.Tensor]]:
    """Seconds that a plain loop takes, and the weights it ends with: what a person would write, without finflow or Lightning.

    What it reads lies on the device before the time starts.
    """
    settings = model.settings
    scaling = fit_scaling(settings.scaling, train, model.task, train.targets.astype(np.float64))
    values = torch.from_numpy(scaling.features(train.observations.values.copy())).to(device)
    steps = torch.arange(model.task.length, device=device)
    parts = (("train", train), ("validation", validation))
    starts = {name: torch.from_numpy(part.index.row - (model.task.length - 1)).to(device) for name, part in parts}
    targets = {name: torch.from_numpy(scaling.targets(part.targets.astype(np.float64))) for name, part in parts}

    def windows(name: str, positions: torch.Tensor) -> torch.Tensor:
        return values.index_select(0, (starts[name][positions][:, None] + steps).reshape(-1)).view(len(positions), len(steps), -1)

    torch.manual_seed(seed)
    forecaster = model.module()
    with torch.no_grad():
        forecaster.begin(targets["train"])
    forecaster.to(device)
    targets = {name: part.to(device) for name, part in targets.items()}
    torch.manual_seed(seed)
    count = len(train)
    each = max(1, round(count / settings.batch))
    schedule = Training(forecaster, settings, _Length(count), _Length(len(validation)), seed)  # type: ignore[arg-type]
    decayed = [parameter for parameter in forecaster.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in forecaster.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}], fused=True
    )
    begin, taken = time.perf_counter(), 0
    best, kept = np.inf, {}
    for epoch in range(settings.epochs):
        forecaster.train()
        order = np.random.default_rng([seed, epoch]).permutation(count)
        for batch in np.array_split(order, each):
            positions = torch.from_numpy(batch).to(device)
            optimizer.zero_grad()
            loss = forecaster.loss(forecaster(windows("train", positions)), targets["train"][positions])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(forecaster.parameters(), settings.clip)
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(taken)
            optimizer.step()
            taken += 1
        forecaster.eval()
        total = 0.0
        with torch.no_grad():
            for first in range(0, len(validation), VALIDATION_BATCH):
                positions = torch.arange(first, min(first + VALIDATION_BATCH, len(validation)), device=device)
                total += float(forecaster.loss(forecaster(windows("validation", positions)), targets["validation"][positions])) * len(
                    positions
                )
        if total < best:
            best, kept = total, {name: value.clone() for name, value in forecaster.state_dict().items()}
    return time.perf_counter() - begin, kept


class _Length:
    """A part of which only the length counts."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


ON_A_GPU = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: there is none")]
)


@pytest.mark.benchmark
@pytest.mark.parametrize("device", ["cpu", ON_A_GPU])
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_training_throughput(name: str, device: str) -> None:
    samples, task = market()
    times = np.unique(samples.index.time)
    cut = times[int(0.85 * len(times))]
    train, validation = samples.take(samples.index.label_end < cut), samples.take(samples.index.time >= cut)
    model_name, settings = SETTINGS[name]
    found = model_class(model_name)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    own, bare = [], []
    try:
        for _ in range(5):
            model = found(found.Settings.model_validate(settings), task)
            assert isinstance(model, Network)
            begin = time.perf_counter()
            report = model.fit(train, validation, seed=3, hardware=Hardware(device))
            own.append(time.perf_counter() - begin)
            plain_model: Any = found(found.Settings.model_validate(settings), task)
            taken, kept = bare_fit(plain_model, train, validation, seed=3, device=device)
            bare.append(taken)
            assert len(report.epochs) == settings["epochs"], "it stopped early, and did less than the bare loop"
            assert model.forecaster is not None
            exact = {"rtol": 0.0, "atol": 0.0} if device == "cpu" else {"rtol": 1e-3, "atol": 1e-4}
            for key, value in model.forecaster.state_dict().items():
                torch.testing.assert_close(value, kept[key].cpu(), **exact, msg=f"the two did not do the same work: {key} differs")
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(False)
    # The first round warms both up; the least of the others is the one that the machine disturbed least.
    quickest, plain = min(own[1:]), min(bare[1:])
    drawn = settings["epochs"] * len(train)
    where: dict[str, str] = {"machine": torch.cuda.get_device_name()} if device == "cuda" else {}
    record(
        f"training throughput{', one GPU' if where else ''}, {name}, batch {found.Settings().batch}",  # type: ignore[attr-defined]
        ratio=plain / quickest,
        **({} if where else {"at_least": WANTED[name]}),
        windows_per_second=drawn / quickest,
        bare_windows_per_second=drawn / plain,
        epochs=settings["epochs"],
        windows=len(train),
        **where,
    )
    assert plain / quickest > (0.1 if where else 0.5), "far below what is wanted: something else than noise of the machine"
