"""An outcome through the whole pipeline: train, report, limits, score, monitor."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.environment import prepare_environment
from pipelines.home import Home
from tests.outcome_rows import loan_values, write_loans
from tests.support import write_definition


def test_loans_from_training_to_monitoring(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> None:
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    from flows.train import train_flow

    values = loan_values(write_loans(tmp_path / "loans.csv"), {"limits": {"selection_rate": 0.5, "equal_opportunity": 0.001}})
    path = str(write_definition(tmp_path / "loans.yaml", values))
    trained = train_flow(path, "2021-11-30")
    print(trained["report"])
    print(Path(trained["report"]).with_suffix(".md").read_text())
    import shutil

    shutil.rmtree("/tmp/metrics-report", ignore_errors=True)
    shutil.copytree(home.evaluations, "/tmp/metrics-report")
