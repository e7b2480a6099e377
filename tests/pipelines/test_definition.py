"""A definition is read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.definition import DEFINITIONS, load_definition, read_yaml
from pipelines.errors import DefinitionError


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
        ("", "expected a mapping"),
        ("[" * 5000, "not plain YAML"),
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
