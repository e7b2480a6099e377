"""The series that come with the arch package."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import get_args

import pandas as pd
import pytest

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources import arch
from tests.support import REPOSITORY


@pytest.mark.parametrize("name", get_args(arch.Series))
def test_series_are_what_arch_loads(name: str) -> None:
    pd.testing.assert_frame_equal(arch._load(name), importlib.import_module(f"arch.data.{name.partition('.')[0]}").load())


def test_bars_of_a_panel() -> None:
    found = arch.ArchSource(series={"A": "sp500", "B": "vix"}).read()
    assert list(found.columns) == ["entity", "time", "open", "high", "low", "close", "volume"]
    first = found.groupby("entity").first()
    assert first.loc["A", "time"] == pd.Timestamp("1999-01-04")
    assert (first.loc["B", ["open", "high", "low"]] == first.loc["B", "close"]).all()
    assert first.loc["B", "volume"] == 0


def test_yields_of_two_columns() -> None:
    found = arch.ArchSource(series={"AAA": "default.AAA", "BAA": "default.BAA"}).read()
    first = found.groupby("entity").first()
    assert (first["time"] == pd.Timestamp("1919-01-01")).all()
    assert first["close"].tolist() == [5.35, 7.12]
    assert (found["high"] == found["close"]).all()
    assert len(found) == 2400


def test_reading_imports_no_models() -> None:
    read = "from finflow.pipelines.sources.arch import ArchSource; ArchSource(series={'A': 'sp500'}).read()"
    program = f"import sys; {read}; assert 'arch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> pd.DataFrame:
        raise FileNotFoundError(name)

    monkeypatch.setattr(arch, "_load", gone)
    with pytest.raises(SourceError, match="installed whole"):
        arch.ArchSource(series={"A": "sp500"}).read()
