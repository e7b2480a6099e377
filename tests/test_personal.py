"""The whole pipeline over rows of persons: no byte of them is left anywhere, nor printed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.data.pseudonyms import VARIABLE
from finflow.pipelines.lake.lake import Lake
from tests.support import Finflow, files_with, write_definition
from tests.support.row_support import loan_rows, loan_values

KEY = "5d1f8a62c07b4e39a4d6f2e1b8c3907f"


@pytest.fixture
def persons(tmp_path: Path) -> Path:
    """A definition over a file of persons; some of its rows contradict one another, so that there is a quarantine."""
    source = tmp_path / "source"
    source.mkdir()
    frame = loan_rows(1500).drop(columns="chance")
    frame["entity"] = [f"Zebulon-{number} Quartz" for number in range(len(frame))]
    frame["email"] = [f"zebulon.{number}@quartz.example" for number in range(len(frame))]
    frame = pd.concat([frame, frame.head(3).assign(amount=7.0)], ignore_index=True)
    frame.to_csv(source / "loans.csv", index=False, date_format="%Y-%m-%d")
    values = loan_values(source / "loans.csv", personal=["entity", "email"])
    columns = {**values["source"]["columns"], "email": "email"}
    values["source"] = {**values["source"], "columns": columns, "text": [*values["source"]["text"], "email"]}
    values["candidates"], values["baselines"] = {"logistic": {"model": "tabular_logistic"}}, {"base-rate": {"model": "class_frequency"}}
    values["gate"] = {"loss": "log_loss", "minimum_dates": 50}
    return write_definition(source / "loans.yaml", values)


@pytest.mark.slow
def test_no_byte_of_a_person_is_left_anywhere(
    finflow: Finflow, home: Home, persons: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    refused = finflow.run("train", str(persons))
    assert refused.returncode != 0
    assert VARIABLE in refused.stdout + refused.stderr

    finflow.environment[VARIABLE] = KEY
    printed = [refused.stdout, refused.stderr]
    for command in ("train", "score", "monitor"):
        done = finflow.run(command, str(persons))
        assert done.returncode == 0, done.stderr[-2000:]
        printed += [done.stdout, done.stderr]
    lake = Lake(home.lake)
    assert len(lake.read("quarantine/loans")) == 6
    assert lake.read("predictions/loans")["entity"].str.fullmatch("p[0-9a-f]{32}").all()

    later = (persons.parent / "loans.csv").read_text().replace("2020-01-01", "Quartz day")
    (persons.parent / "loans.csv").write_text(later)
    broken = finflow.run("train", str(persons))
    assert broken.returncode != 0
    assert "is no date" in broken.stdout + broken.stderr
    printed += [broken.stdout, broken.stderr]

    servers = list(tmp_path_factory.getbasetemp().glob("prefect-server*"))
    assert servers
    assert files_with(persons.parent, "Quartz"), "the search finds what is there"
    for secret in ("Zebulon", "zebulon", "Quartz", "quartz.example", KEY):
        for root in (home.root, *servers):
            assert files_with(root, secret) == [], root
        assert not any(secret in text for text in printed)
