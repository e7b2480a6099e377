"""The READMEs say what is so: commands exist, both languages show the same ones, the definitions in them load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
ENGLISH, CHINESE = REPOSITORY / "README.md", REPOSITORY / "README.zh-CN.md"


def blocks(path: Path, language: str) -> list[str]:
    """Fenced blocks of a language, without comments at the ends of lines."""
    found: list[list[str]] = []
    inside: str | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line[3:] if inside is None else None
            found += [[]] if inside == language else []
        elif inside == language:
            found[-1].append(line.split("  #")[0].rstrip())
    assert inside is None, f"{path.name}: a fenced block does not end"
    return ["\n".join(lines) for lines in found]


def commands(path: Path) -> list[str]:
    """Lines of plain blocks that a person would type."""
    lines = "\n".join(blocks(path, "")).splitlines()
    return [line for line in lines if line.startswith(("make ", "finflow "))]


def known_commands() -> set[str]:
    from flows.cli import app

    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_both_languages_show_the_same_commands() -> None:
    assert commands(CHINESE)
    assert commands(CHINESE) == commands(ENGLISH)


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_commands_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`finflow ([a-z-]+)", text)) | {line.split()[1] for line in commands(path) if line.startswith("finflow")}
    assert named
    assert named <= known_commands()
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, flags=re.M))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def test_every_command_is_in_the_reference() -> None:
    text = ENGLISH.read_text(encoding="utf-8")
    assert {name for name in known_commands() if f"`finflow {name}" not in text} == set()


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_definitions_load(path: Path) -> None:
    from pipelines.definition import parse_definition

    found = [parse_definition(yaml.safe_load(block)) for block in blocks(path, "yaml")]
    assert [definition.name for definition in found] == {ENGLISH: ["my-prices", "applicants"], CHINESE: ["my-prices"]}[path]


def test_every_field_of_a_definition_is_documented() -> None:
    from pipelines.definition import Definition, Schedule
    from pipelines.definition_parts import Contract, Feature, Folds, Gate, Window

    text = ENGLISH.read_text(encoding="utf-8")
    for model in (Definition, Contract, Feature, Window, Folds, Gate, Schedule):
        assert {name for name in model.model_fields if f"`{name}`" not in text} == set(), model.__name__
