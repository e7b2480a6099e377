"""What tests of the whole pipeline share: a tiny definition, the command line as a process, a comparable picture of the state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from finflow.pipelines.core.home import Home
from finflow.pipelines.core.whole_files import part_of
from tests.support import warm

REPOSITORY = Path(__file__).resolve().parents[2]


def tiny_values(**changes: Any) -> dict[str, Any]:
    """The values of a definition that trains in seconds; keyword arguments replace top-level keys."""
    values: dict[str, Any] = {
        "name": "tiny",
        "title": "A tiny simulated series",
        "simulated": True,
        "source": {
            "kind": "simulated",
            "process": "random_walk",
            "entities": 2,
            "days": 700,
            "volatility": 0.01,
            "start": "2015-01-05",
            "seed": 3,
        },
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


def write_definition(path: Path, values: dict[str, Any]) -> Path:
    """The values as a YAML file."""
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def left_by_a_killed_process(path: Path) -> Path:
    """Where a process that runs no more had begun to write what was to appear at `path`."""
    part = part_of(path)
    return part.with_name(part.name.replace(f"-{os.getpid()}-", "-999999999-"))


class Finflow:
    """Runs the command line in a process of its own, as a person would; by default a fork of the warm one (see `tests.support.warm`)."""

    def __init__(self, home: Home, api: str) -> None:
        self.home = home
        self.environment = {**os.environ, "FINFLOW_HOME": str(home.root), "PREFECT_API_URL": api, "COLUMNS": "120"}

    def run(
        self, *arguments: str, program: tuple[str, ...] = ("-m", "finflow.flows"), timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        return warm.run([sys.executable, *program, *arguments], cwd=REPOSITORY, env=self.environment, timeout=timeout)

    def json(self, *arguments: str) -> dict[str, Any]:
        """The one JSON object of a command that must succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr[-4000:]}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def files_with(root: Path, words: str) -> list[str]:
    """Files under a folder that hold these words, as UTF-8 or in the cells of a Parquet file (which packs them)."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and (words.encode() in path.read_bytes() or (path.suffix == ".parquet" and words in _cells(path))):
            found.append(str(path.relative_to(root)))
    return found


def _cells(path: Path) -> str:
    import pyarrow.parquet as parquet

    return str(parquet.ParquetFile(path).read().to_pydict())


def comparable_state(home: Home, name: str) -> dict[str, Any]:
    """What a run leaves, without the instants and ids that differ between any two runs."""
    import mlflow

    from finflow.pipelines.lake.lake import Lake

    lake = Lake(home.lake)
    decided = lake.read(f"promotions/{name}")
    if len(decided):
        # The manifest names the MLflow run, whose id differs; the chain holds instants, and the names of files.
        differing = ["recorded_at", "manifest_digest", "previous_digest", "digest", "decided_on"]
        decided = decided.sort_values("sequence").drop(columns=differing)
    predicted = lake.read(f"predictions/{name}")
    if len(predicted):
        predicted = predicted.drop(columns=[c for c in predicted if c in ("scored_at", "backfill_id")])
        predicted = predicted.sort_values(list(predicted.columns)).reset_index(drop=True)
    client = mlflow.MlflowClient(home.tracking_uri)
    versions = client.search_model_versions(f"name = '{name}'")
    models = client.search_registered_models(f"name = '{name}'")
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return {
        "decisions": decided.astype(str).to_dict("records"),
        "predictions": predicted.astype(str).to_dict("records"),
        "clean": len(lake.read(f"clean/{name}")),
        "quarantine": len(lake.read(f"quarantine/{name}")),
        "versions": sorted(int(version.version) for version in versions),
        "aliases": {alias: int(version) for model in models for alias, version in model.aliases.items()},
        "runs": sorted((run.info.run_name or "", run.info.status, _measured(run.data.metrics)) for run in runs),
        "fits": sorted(path.name for path in home.fits.iterdir() if not path.name.startswith(".")) if home.fits.is_dir() else [],
    }


def _measured(metrics: dict[str, float]) -> str:
    """Metrics as text, without how long a fit took."""
    return str(sorted((name, value) for name, value in metrics.items() if "seconds" not in name))
