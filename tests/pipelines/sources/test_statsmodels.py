"""Quarterly data that come with statsmodels."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pandas as pd
import pytest
from pydantic import ValidationError

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources import StatsmodelsSource, packaged
from tests.support import REPOSITORY


def test_the_series_are_what_statsmodels_loads() -> None:
    found = StatsmodelsSource(entity="USA").read()
    loaded = importlib.import_module("statsmodels.datasets.macrodata").load_pandas().data
    assert set(found["entity"]) == {"USA"}
    assert found["time"].iloc[[0, 1, -1]].dt.strftime("%Y-%m-%d").tolist() == ["1959-03-31", "1959-06-30", "2009-09-30"]
    values = found.drop(columns=["entity", "time"])
    pd.testing.assert_frame_equal(values, loaded.drop(columns=["year", "quarter"]).astype("float64"))


def test_reading_imports_no_statsmodels() -> None:
    program = "import sys; from finflow.pipelines.sources import StatsmodelsSource; StatsmodelsSource().read(); "
    program += "assert 'statsmodels' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="installed whole"):
        StatsmodelsSource().read()


def test_an_entity_without_a_name() -> None:
    with pytest.raises(ValidationError, match="entity"):
        StatsmodelsSource(entity="")
