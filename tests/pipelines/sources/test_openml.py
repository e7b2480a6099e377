"""The source `openml` against answers that OpenML gave, which scikit-learn's own tests keep: no connection is made."""

from __future__ import annotations

import importlib.resources
import io
import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from pydantic import ValidationError

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources.openml import OpenmlSource

COLUMNS = {"age": "age", "work": "workclass", "hours": "hours-per-week", "earns": "class"}
SETTINGS: dict[str, Any] = {
    "columns": COLUMNS, "ignore": ("*",), "text": ("work", "earns"), "numbered": "person", "date": "1994-12-31",
}  # fmt: skip


class Answer(io.BytesIO):
    def info(self) -> dict[str, str]:
        return {"Content-Encoding": "gzip"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of OpenML; its answers are those recorded for data set 1590 (adult)."""
    import sklearn.datasets._openml as client

    folder = importlib.resources.files("sklearn.datasets.tests.data.openml.id_1590")
    addresses: list[str] = []

    def answer(request: Any, *arguments: Any, **named: Any) -> Answer:
        address = request.get_full_url()
        addresses.append(address)
        kinds = {"data/features/1590": "api-v1-jdf-1590", "data/qualities/1590": "api-v1-jdq-1590", "json/data/1590": "api-v1-jd-1590"}
        for part, name in kinds.items():
            if part in address:
                return Answer((folder / f"{name}.json.gz").read_bytes())
        if "1595261" in address:
            return Answer((folder / "data-v1-dl-1595261.arff.gz").read_bytes())
        raise HTTPError(address, 412, "No results", {}, io.BytesIO(json.dumps({"error": {"code": "372"}}).encode()))  # type: ignore[arg-type]

    monkeypatch.setattr(client, "urlopen", answer)
    return addresses


def test_a_recorded_data_set_is_rows_with_text(asked: list[str], tmp_path: Path) -> None:
    found = OpenmlSource(id=1590, **SETTINGS).read()
    assert list(found.columns)[:2] == ["entity", "time"]
    assert found["entity"].tolist()[0] == "person-000001"
    assert set(found["earns"]) == {"<=50K", ">50K"}
    assert found["work"].isna().any()
    assert found["age"].between(17, 90).all()
    assert (tmp_path / "home" / "openml").is_dir()
    count = len(asked)
    assert OpenmlSource(id=1590, **SETTINGS).read().equals(found)
    assert len(asked) == count, "the second time nothing is asked"


def test_faults_are_named(asked: list[str]) -> None:
    with pytest.raises(SourceError, match=r"OpenML's data set 1590: no column 'clas'.*Did you mean 'class'"):
        OpenmlSource(id=1590, **{**SETTINGS, "columns": {**COLUMNS, "earns": "clas"}}).read()
    with pytest.raises(SourceError, match=r"column 'work': holds .*expected numbers"):
        OpenmlSource(id=1590, **{**SETTINGS, "text": ("earns",)}).read()
    with pytest.raises(SourceError, match="OpenML's data set no-such, version 1: cannot be fetched"):
        OpenmlSource(name="no-such", version=1, **SETTINGS).read()


@pytest.mark.parametrize("given", [{}, {"id": 31, "name": "credit-g", "version": 1}, {"name": "credit-g"}])
def test_a_data_set_is_named_in_one_way(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give `id`, or `name` with `version`"):
        OpenmlSource(**given, **SETTINGS)
