"""Fixtures that every part of the tests may use. Nothing is imported here that takes long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.home import Home

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY.parent / "shared" / "data"

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a home of its own, whatever the person who runs it has set."""
    for name in ("MLFLOW_TRACKING_URI", "FINFLOW_LAKE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FINFLOW_HOME", str(tmp_path / "home"))


@pytest.fixture()
def home(tmp_path: Path) -> Home:
    """An empty home."""
    root = tmp_path / "home"
    return Home(root=root, lake=str(root / "lake"), tracking_uri=f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", prefect_api=None)


@pytest.fixture()
def shared_data() -> Path:
    """Real files, where this machine has them."""
    if not DATA.is_dir():
        pytest.skip("the folder shared/data with real files is absent")
    return DATA


def tiny_values(**changes: Any) -> dict[str, Any]:
    """The values of a definition that trains in seconds; keyword arguments replace top-level keys."""
    values: dict[str, Any] = {
        "name": "tiny",
        "title": "A tiny simulated series",
        "simulated": True,
        "source": {"kind": "simulated", "process": "random_walk", "entities": 2, "days": 700, "volatility": 0.01, "start": "2015-01-05", "seed": 3},
        "calendar": "XNYS",
        "contract": {"kind": "bars", "minimum_history": 100},
        "features": [{"kind": "log_return", "column": "close", "name": "log_return"}, {"kind": "log_range", "name": "log_range"}],
        "window": {"length": 10, "horizon": 2},
        "problem": {"kind": "forecast", "column": "close", "transform": "log", "levels": [0.05, 0.25, 0.5, 0.75, 0.95]},
        "folds": {"first_test": "2016-07-01", "months": 6, "validation_months": 3, "embargo": 2},
        "candidates": {"dense": {"model": "dense", "settings": {"hidden": [8], "epochs": 2, "batch": 128}}},
        "baselines": {"random-walk": {"model": "random_walk"}, "ridge": {"model": "ridge"}},
        "reference": "random-walk",
        "seed": 1,
        "seeds": 2,
        "gate": {"loss": "mae", "minimum_dates": 50},
    }
    return {**values, **changes}


@pytest.fixture()
def tiny_definition(tmp_path: Path) -> Path:
    """The tiny definition as a YAML file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_values(), sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real Prefect server for the tests of a worker process; starting one takes over ten seconds."""
    from flows.environment import prepare_environment
    from flows.server import prefect_server

    root = tmp_path_factory.mktemp("prefect-server")
    server_home = Home(root=root, lake=str(root / "lake"), tracking_uri="sqlite://", prefect_api=None)
    before = dict(os.environ)
    try:
        prepare_environment(server_home)
        with prefect_server(server_home) as api:
            os.environ.clear()
            os.environ.update(before)
            yield api
            os.environ["PREFECT_API_URL"] = api
    finally:
        os.environ.clear()
        os.environ.update(before)


class Finflow:
    """Runs the command line in a process of its own, as a person would."""

    def __init__(self, home: Home, api: str) -> None:
        self.home = home
        self.environment = {**os.environ, "FINFLOW_HOME": str(home.root), "PREFECT_API_URL": api, "COLUMNS": "120"}

    def run(self, *arguments: str, program: tuple[str, ...] = ("-m", "flows"), timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *program, *arguments]
        return subprocess.run(command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False)

    def json(self, *arguments: str) -> dict[str, Any]:
        """The one JSON object of a command that must succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr[-4000:]}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture()
def finflow(home: Home, prefect_api: str) -> Finflow:
    """The command line over an empty home and a real Prefect server."""
    return Finflow(home, prefect_api)
