"""The shipped definitions of rows over their real files and simulators, as far as samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.as_of import read_as_of
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.samples.windows import build_samples

FILES = {
    "german-credit": ("FINFLOW_GERMAN_CREDIT", "credit_german/german.data", 1000, 0.3),
    "customer-propensity": ("FINFLOW_BANK_MARKETING", "bank_marketing/bank-additional-full.csv.gz", 41_188, 0.1127),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_becomes_rows_with_outcomes(name: str, home: Home, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variable, file, rows, rate = FILES[name]
    monkeypatch.delenv(variable, raising=False)
    definition = load_definition(name)
    with pytest.raises(FinflowError, match=variable):
        ingest(open_context(definition, home))
    monkeypatch.setenv(variable, str(shared_data / file))
    as_of = pd.Timestamp("2012-01-01", tz="UTC")
    manifest = validate(open_context(definition, home), ingest(open_context(definition, home)), as_of)
    assert (manifest.rows, manifest.entities, manifest.quarantined) == (rows, rows, 0)
    assert [result.rule for result in manifest.rules if not result.passed] == []
    samples = build_samples(definition, read_as_of(Lake(home.lake), manifest.table, as_of), as_of)
    assert samples.index.labelled.all()
    assert abs(samples.index.target.mean() - rate) < 0.001


@pytest.mark.parametrize("name", ["credit-risk", "insurance-claims", "money-laundering"])
def test_a_simulated_table_meets_its_definition(name: str) -> None:
    definition: Definition = load_definition(name)
    assert definition.simulated
    frame = definition.source.model_copy(update={"days": 800}).read().sort_values(["entity", "time"], ignore_index=True)
    end = frame["time"].max().tz_localize("UTC")
    samples = build_samples(definition, frame, end)
    assert len(samples) == len(frame)
    assert 0.005 < np.nanmean(samples.index.target) < 0.3
    old = frame["time"] + pd.Timedelta(days=definition.problem.known_after_days) <= end.tz_localize(None)
    assert samples.index.labelled.sum() == pytest.approx(old.sum(), abs=40)
