"""A definition is read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.loading import DEFINITIONS, load_definition
from finflow.pipelines.settings.yaml_text import read_yaml
from tests.support import tiny_values, write_definition


@pytest.mark.parametrize("path", sorted(DEFINITIONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_definitions_load(path: Path) -> None:
    definition = load_definition(path.stem)
    assert definition.name == path.stem
    assert definition.reference in definition.baselines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !!python/object/apply:os.system ['true']", "not plain YAML"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: 1\na: 2", "twice"),
        ("- a\n- b", "expected a mapping"),
        ("a: [", "not plain YAML"),
        ("a: 1\nfirst_test: 2022-13-01", r"line 2: '2022-13-01' cannot be read \(month must be in 1\.\.12\)\."),
        ("", "expected a mapping"),
        ("[" * 4_900_000, "not plain YAML: line 1 is nested more than 50 deep"),
        ("{a: " * 1_000_000, "not plain YAML: line 1 is nested more than 50 deep"),
        ("#" * 5_000_001, "has 5,000,001 bytes, and a definition may have 5,000,000"),
    ],
)
def test_yaml_that_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError, match=expected) as caught:
        read_yaml(path)
    assert "bad.yaml" in str(caught.value)


def test_alias_bombs_end_at_the_first_alias(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DefinitionError, match="line 2: aliases"):
        read_yaml(path)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("title: Müller".encode("latin-1"))
    with pytest.raises(DefinitionError, match="UTF-8"):
        read_yaml(path)


@pytest.mark.parametrize("name", ["..", "../index-price", "a\0b", "a\nb", "nobody", "INDEX-PRICE", "/etc/passwd"])
def test_names_that_are_no_definitions(name: str) -> None:
    with pytest.raises(DefinitionError):
        load_definition(name)


def test_a_data_file_and_a_folder_are_told_from_a_definition(tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("date,close\n", encoding="utf-8")
    with pytest.raises(
        DefinitionError, match=r"prices\.csv' is no definition but a file of another kind: .* `finflow init FILE` drafts one"
    ):
        load_definition(str(prices))
    with pytest.raises(DefinitionError, match="is no definition but a folder"):
        load_definition(str(tmp_path))


def test_a_fault_of_a_recipe_is_told_with_its_place(tmp_path: Path) -> None:
    values = tiny_values(candidates={"dense": {"model": "dens"}})
    with pytest.raises(DefinitionError, match=r"yaml: candidates\.dense\.model: no model 'dens'"):
        load_definition(str(write_definition(tmp_path / "t.yaml", values)))


def test_a_definition_met_by_its_path_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    from finflow.pipelines.definitions.loading import load_and_remember

    path = write_definition(tmp_path / "mine.yaml", tiny_values(name="known"))
    with pytest.raises(DefinitionError, match="no definition 'known'"):
        load_definition("known")
    assert load_and_remember(str(path), home) == load_definition("known")
    moved = write_definition(tmp_path / "other.yaml", tiny_values(name="known", seed=9))
    load_and_remember(str(moved), home)
    assert load_definition("known").seed == 9, "the file used last counts"
    moved.unlink()
    with pytest.raises(DefinitionError, match="no definition 'known'"):
        load_definition("known")
    load_and_remember("index-price", home)
    assert not (home.root / "definitions.json").read_text().count("index-price")


@pytest.mark.parametrize("shift", [-1, -250, -1.0])
def test_a_feature_of_a_later_row_is_refused_where_the_definition_loads(tmp_path: Path, shift: float) -> None:
    features = [{"kind": "log_return", "column": "close", "shift": shift}]
    path = write_definition(tmp_path / "tomorrow.yaml", tiny_values(features=features))
    with pytest.raises(DefinitionError, match=r"features\.0\.shift: -.* is the value of a later row.*Write 0 or more") as caught:
        load_definition(str(path))
    assert "tomorrow.yaml" in str(caught.value)
