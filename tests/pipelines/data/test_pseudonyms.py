"""Pseudonyms: stable under one key, unlinkable without it, and no personal value in any message."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.core.errors import DefinitionError, FinflowError, SourceError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.redaction import redacted
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.pseudonyms import VARIABLE, Pseudonyms
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.lake import Lake
from tests.support import files_with
from tests.support.row_support import loan_rows, loan_values

KEY = "3b7e0c55f1a94d2e8a6612cd90f4b7aa"
OTHER = "a7c1f09e2b834d56b0d4e1f88c92aa30"
NAMES = [f"Zebulon-{number} Quartz" for number in range(30)]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


def persons(folder: Path, *, personal: tuple[str, ...] = ("entity", "email"), name: str = "loans", **source: Any) -> Definition:
    values = loan_values(folder / "loans.csv", name=name)
    columns = {**values["source"]["columns"], "email": "email"}
    values["source"] = {**values["source"], "columns": columns, "text": [*values["source"]["text"], "email"], **source}
    values["candidates"], values["baselines"] = {"majority": {"model": "majority"}}, {"base-rate": {"model": "class_frequency"}}
    return parse_definition({**values, "personal": personal})


def write(folder: Path, **changes: Any) -> pd.DataFrame:
    frame = loan_rows(30).drop(columns="chance").assign(entity=NAMES)
    frame["email"] = [None, *(f"{name.replace(' ', '.')}@example.org" for name in NAMES[1:])]
    frame = frame.assign(**changes)
    frame.to_csv(folder / "loans.csv", index=False, date_format="%Y-%m-%d")
    return frame


def test_pseudonyms_are_keyed_hashes_of_the_definition() -> None:
    made = Pseudonyms.from_environment("loans")
    values = pd.Series(["Ann", None, "Bob", "Ann", "Zoe\u0308", "Zo\u00eb"], index=[5, 3, 9, 1, 7, 8], dtype="str")
    found = made.of(values)
    assert found.index.tolist() == values.index.tolist()
    assert found.isna().tolist() == values.isna().tolist()
    assert found[5] == found[1] != found[9]
    assert found[7] == found[8], "one name however it is composed"
    derived = hmac.new(KEY.encode(), b"finflow pseudonyms 1\0loans", "sha256").digest()
    assert found[5] == "p" + hmac.new(derived, b"Ann", "sha256").hexdigest()[:32]
    other = Pseudonyms.from_environment("cards")
    assert other.key_id != made.key_id
    assert other.of(values)[5] != found[5]
    assert repr(made.key) not in repr(made)


@pytest.mark.parametrize(("key", "said"), [("", "is not set"), ("short", "too short"), ("ab" * 40, "too short")])
def test_a_missing_or_weak_key_is_refused(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, said: str) -> None:
    write(tmp_path)
    monkeypatch.setenv(VARIABLE, key)
    with pytest.raises(FinflowError, match=f"{VARIABLE}.*{said}.*openssl rand -hex 32"):
        ingest(open_context(persons(tmp_path), home))
    assert not Lake(home.lake).exists("raw/loans")


def test_no_table_holds_a_value(home: Home, tmp_path: Path) -> None:
    frame = write(tmp_path)
    raw = ingest(open_context(persons(tmp_path), home))
    lake = Lake(home.lake)
    stored = lake.read("raw/loans")
    made = Pseudonyms.from_environment("loans")
    assert sorted(stored["entity"]) == sorted(made.of(frame["entity"].astype("str")))
    assert stored["email"].isna().sum() == 1
    assert ingest(open_context(persons(tmp_path), home)).version == raw.version, "the same persons again are nothing new"
    assert files_with(home.root, "Quartz") == []
    assert KEY not in redacted(f"export {VARIABLE}={KEY}")
    assert files_with(home.root, KEY) == []
    assert lake.read("pseudonyms/loans")["key_id"].tolist() == [made.key_id]


def test_another_key_is_noticed(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    ingest(open_context(persons(tmp_path), home))
    key_id = Pseudonyms.from_environment("loans").key_id
    monkeypatch.setenv(VARIABLE, OTHER)
    with pytest.raises(StateError, match=f"the tables were made with {key_id}: nobody would be found again"):
        ingest(open_context(persons(tmp_path), home))
    assert len(Lake(home.lake).read("raw/loans")) == 30


def test_columns_that_become_personal_or_cease_to_be_are_noticed(home: Home, tmp_path: Path) -> None:
    write(tmp_path)
    ingest(open_context(persons(tmp_path, personal=()), home))
    with pytest.raises(StateError, match="was begun when email, entity was not personal"):
        ingest(open_context(persons(tmp_path), home))
    ingest(open_context(persons(tmp_path, name="again"), home))
    for others in ((), ("email",)):
        with pytest.raises(StateError, match="would hold both names and pseudonyms"):
            ingest(open_context(persons(tmp_path, name="again", personal=others), home))


@pytest.mark.parametrize(
    ("changes", "source", "said"),
    [
        ({"amount": NAMES}, {}, "data row 1, column 'amount': a value"),
        ({"time": NAMES}, {}, "data row 1, column 'time': a value"),
        ({"time": "01/02/2020 Quartz"}, {}, "may be read in two ways"),
        ({}, {"skip_rows": 2}, "no column"),
        ({}, {"skip_rows": 2, "delimiter": ";"}, "is one column with the delimiter"),
        ({"Quartz": 1}, {}, "the definition does not name column 1"),
        ({"sex": "Quartz,x"}, {"quote": "'"}, "data row 1: has"),
    ],
)
def test_messages_show_no_cell(home: Home, tmp_path: Path, changes: dict[str, Any], source: dict[str, Any], said: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(SourceError, match=said) as raised:
        ingest(open_context(persons(tmp_path, **source), home))
    assert "Quartz" not in str(raised.value)
    assert raised.value.__cause__ is None
    with pytest.raises(SourceError, match="Quartz"):
        ingest(open_context(persons(tmp_path, personal=(), **source), home))


def test_an_unforeseen_fault_shows_nothing(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> pd.DataFrame:
        raise RuntimeError("Zebulon Quartz")

    definition = persons(tmp_path)
    monkeypatch.setattr(type(definition.source), "read", fail)
    with pytest.raises(SourceError, match=r"cannot be read \(RuntimeError\)") as raised:
        ingest(open_context(definition, home))
    assert "Quartz" not in str(raised.value)


def test_numbers_of_persons_must_be_read_as_text(home: Home, tmp_path: Path) -> None:
    write(tmp_path, email=range(30))
    text = ["purpose", "region", "sex"]
    with pytest.raises(SourceError, match=r"personal column 'email' holds float64.*list it under the source's `text`"):
        ingest(open_context(persons(tmp_path, text=text), home))
    with pytest.raises(SourceError, match="no column 'phone', which `personal` names"):
        ingest(open_context(persons(tmp_path, personal=("phone",)), home))


@pytest.mark.parametrize(
    ("personal", "said"), [(("time",), "is a time"), (("defaulted",), "read by the problem"), (("amount",), "a number")]
)
def test_columns_that_must_keep_their_values_are_refused(tmp_path: Path, personal: tuple[str, ...], said: str) -> None:
    with pytest.raises(DefinitionError, match=f"personal: {personal[0]} .*{said}"):
        persons(tmp_path, personal=personal)
