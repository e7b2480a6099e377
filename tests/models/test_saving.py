"""Folders of models, and ensembles of them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finflow.models.base import Hardware, Prediction, Task
from finflow.models.ensemble import Ensemble, average, save_ensemble
from finflow.models.errors import FitFailure
from finflow.models.kernels import KERNELS
from finflow.models.samples import Samples
from finflow.models.saving import load_model, save_model
from tests.support.models.network_cases import fit, network, noise, panel

LEVELS = (0.1, 0.5, 0.9)


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    return panel(noise(300))


@pytest.fixture
def folders(data: tuple[Samples, Task], tmp_path: Path) -> list[Path]:
    made = []
    for seed in (1, 2):
        model = network("dense", data[1])
        fit(model, data[0], seed=seed)
        made.append(tmp_path / f"seed-{seed}")
        save_model(model, made[-1])
    return made


def test_an_ensemble_answers_the_mean_of_its_members(data: tuple[Samples, Task], folders: list[Path], tmp_path: Path) -> None:
    samples, task = data
    members = [load_model(folder) for folder in folders]
    save_ensemble(folders, tmp_path / "ensemble")
    ensemble = load_model(tmp_path / "ensemble")
    assert isinstance(ensemble, Ensemble)
    assert ensemble.task == task
    assert ensemble.context == task.length
    values = ensemble.predict(samples).values
    expected = (members[0].predict(samples).values.astype(np.float64) + members[1].predict(samples).values) / 2
    assert np.array_equal(values, expected.astype(np.float32))
    assert (np.diff(values, axis=2) >= 0).all()
    # an ensemble in memory is written the same way
    save_model(Ensemble(members), tmp_path / "again")
    assert np.array_equal(load_model(tmp_path / "again").predict(samples).values, values)
    for path in (path for path in (tmp_path / "ensemble").rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "ensemble")).read_bytes()


def test_an_ensemble_is_never_fitted(data: tuple[Samples, Task], folders: list[Path]) -> None:
    samples, _ = data
    with pytest.raises(FitFailure, match="one by one"):
        Ensemble([load_model(folders[0])]).fit(samples, samples, seed=0, hardware=Hardware())
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])


def test_members_of_different_tasks_are_refused(data: tuple[Samples, Task], folders: list[Path], tmp_path: Path) -> None:
    path = folders[1] / "model.json"
    description = json.loads(path.read_text())
    description["task"]["increment"] = None
    path.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="one task"):
        save_ensemble(folders, tmp_path / "ensemble")
    with pytest.raises(ValueError, match="one task"):
        Ensemble([load_model(folder) for folder in folders])
    with pytest.raises(ValueError, match="at least one"):
        save_ensemble([], tmp_path / "ensemble")


def test_a_missing_member_is_refused(folders: list[Path], tmp_path: Path) -> None:
    save_ensemble(folders, tmp_path / "ensemble")
    (tmp_path / "ensemble" / "state" / "1" / "model.json").unlink()
    with pytest.raises(ValueError, match=r"model\.json is absent"):
        load_model(tmp_path / "ensemble")
    (tmp_path / "ensemble" / "state" / "members.json").unlink()
    with pytest.raises(ValueError, match=r"members\.json"):
        load_model(tmp_path / "ensemble")


def test_a_folder_is_written_once(folders: list[Path]) -> None:
    with pytest.raises(FileExistsError):
        save_model(load_model(folders[0]), folders[0])
    with pytest.raises(FileExistsError):
        save_ensemble(folders, folders[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "absent"), ("{", "cannot be read"), ("[]", "format None"), ('{"format": 99}', "format 99")],
)
def test_what_is_no_model_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)


def test_a_model_outside_the_zoo_cannot_be_saved(data: tuple[Samples, Task], folders: list[Path], tmp_path: Path) -> None:
    model = load_model(folders[0])
    model.__class__ = type("Own", (type(model),), {})
    with pytest.raises(KeyError, match="zoo"):
        save_model(model, tmp_path / "own")


def test_average_by_hand() -> None:
    one = Prediction("quantiles", np.array([[[1.0, 2.0, 4.0]]], dtype=np.float32), LEVELS)
    two = Prediction("quantiles", np.array([[[3.0, 3.0, 8.0]]], dtype=np.float32), LEVELS)
    mean = average([one, two])
    assert mean.values.tolist() == [[[2.0, 2.5, 6.0]]]
    assert mean.values.dtype == np.float32
    assert mean.levels == LEVELS
    assert average([one]) is one
    variances = [Prediction("variances", np.array([[value]], dtype=np.float32)) for value in (1e-4, 4e-4)]
    np.testing.assert_allclose(average(variances).values, [[2e-4]], rtol=1e-6)


def test_average_of_unlike_predictions_is_refused() -> None:
    one = Prediction("quantiles", np.zeros((2, 1, 3), dtype=np.float32), LEVELS)
    for other in (replace(one, levels=(0.2, 0.5, 0.8)), replace(one, values=one.values[:1]), replace(one, kind="scores")):
        with pytest.raises(ValueError, match="differ"):
            average([one, other])
    with pytest.raises(ValueError, match="no prediction"):
        average([])


def test_kernels_are_chosen_before_a_loaded_network_computes_anything(
    data: tuple[Samples, Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MKL reads the mode at its first call, and a generator is orthogonalised as it is made, before its weights are read."""
    import torch

    model = network("gan", data[1], epochs=1)
    fit(model, data[0])
    save_model(model, tmp_path / "gan")
    for name in KERNELS:
        monkeypatch.delenv(name, raising=False)
    seen: list[bool] = []
    orthogonal = torch.nn.init.orthogonal_

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(all(name in os.environ for name in KERNELS))
        return orthogonal(tensor)

    monkeypatch.setattr(torch.nn.init, "orthogonal_", noted)
    load_model(tmp_path / "gan")
    assert seen
    assert all(seen)
