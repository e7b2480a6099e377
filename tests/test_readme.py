"""The documentation says what is so: commands exist with their options, links lead somewhere, definitions load."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.testing import CliRunner

from finflow.flows.command_line.app import app
from tests.support.pages import pages

REPOSITORY = Path(__file__).resolve().parent.parent
ENGLISH, CHINESE = REPOSITORY / "README.md", REPOSITORY / "README.zh-CN.md"
RUNNER = CliRunner()

#: what a command line has in place of a value, and a value that stands for it
PLACEHOLDERS = {
    **dict.fromkeys(("NAME", "NAME...", "FILE", "YOUR.csv", "YOUR.yaml", "COLUMN", "VALUE", "TEXT", "WHO", "E", "A", "S", "P"), "x"),
    **{"DATE": "2020-01-31", "N": "1", "VERSION": "1", "RULE": "90d", "...": "x"},
}
#: what this file runs, in place of a person, because it takes milliseconds
RUN_HERE = {"list", "show", "schema", "init", "history", "report", "alerts"}
#: words of the shell beside make and finflow that a person types
SHELL = ("source ", "make ", "finflow ", "FINFLOW_", "docker ", "kubectl ", "infra/")


def documents() -> list[Path]:
    """Every Markdown file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return [REPOSITORY / name for name in sorted(listed.stdout.split()) if (REPOSITORY / name).is_file()]


@cache
def tokens(path: Path) -> list[Token]:
    """A document as Markdown readers see it."""
    return MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))


def inline(path: Path, kind: str) -> Iterator[Token]:
    """Tokens within paragraphs, headings and cells."""
    for token in tokens(path):
        yield from (child for child in token.children or () if child.type == kind)


def blocks(path: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return [token.content for token in tokens(path) if token.type == "fence" and token.info.strip() == language]


def typed(path: Path) -> list[str]:
    """Lines of plain blocks that a person would type, without comments."""
    lines = [line.split("  #")[0].rstrip() for block in blocks(path, "") for line in block.splitlines()]
    return [line for line in lines if line.startswith(SHELL)]


def command_lines(path: Path) -> list[str]:
    """Every `finflow COMMAND ...` of a document, in blocks and in running text."""
    quoted = [" ".join(token.content.split()) for token in inline(path, "code_inline")]
    lines = [re.sub(r"^(\w+=\S+ )+", "", line) for line in typed(path)]
    return [line.split(" > ")[0] for line in [*lines, *quoted] if re.match(r"finflow [a-z-]", line)]


def program() -> Any:
    return typer.main.get_command(app)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def anchors(path: Path) -> set[str]:
    found, seen = set(), Counter[str]()
    for heading, content in zip(tokens(path), tokens(path)[1:], strict=False):
        if heading.type == "heading_open":
            text = "".join(child.content for child in content.children or ())
            name = slug(text)
            found.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
    return found


def test_the_readme_is_for_the_first_ten_minutes() -> None:
    assert len(ENGLISH.read_bytes()) <= 14_000


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(path: Path) -> None:
    links = [str(token.attrs["href"]) for token in inline(path, "link_open")]
    links += [str(token.attrs["src"]) for token in inline(path, "image")]
    dead = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_command_exists_with_its_options(path: Path) -> None:
    """Each is parsed by the command line itself, with values in its placeholders, and not carried out."""
    for line in command_lines(path):
        # A table's cell escapes the bar between alternatives: the first of them stands for all.
        words = shlex.split(re.sub(r"\|[\w-]+", "", line.replace("\\|", "|")).replace("[", " ").replace("]", " "))[1:]
        if words in (["--version"], ["--help"]):
            continue
        name, arguments = words[0], [PLACEHOLDERS.get(word, word) for word in words[1:]]
        assert name in program().commands, f"{path.name}: {line}"
        if not arguments or not _is_whole(name, arguments):
            options = {option for parameter in program().commands[name].params for option in parameter.opts}
            assert {word for word in arguments if word.startswith("--")} <= options, f"{path.name}: {line}"
            continue
        program().commands[name].make_context(name, arguments)


def _is_whole(name: str, arguments: list[str]) -> bool:
    """Whether a line has what the command must have: running text may name a command with the one option that it is about."""
    required = [parameter for parameter in program().commands[name].params if parameter.required]
    needed = {parameter.opts[0] for parameter in required if parameter.opts[0].startswith("--")}
    return needed <= set(arguments) and (len(needed) == len(required) or not arguments[0].startswith("--"))


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_every_command_is_in_the_reference(path: Path) -> None:
    assert {line.split()[1] for line in command_lines(path)} >= set(program().commands)


def test_every_target_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, flags=re.M))
    for path in documents():
        named = {token.content for token in inline(path, "code_inline")} | set(typed(path))
        assert {text.split()[1] for text in named if re.match(r"make [a-z]", text)} <= targets, path.name


def test_both_languages_show_the_same_commands() -> None:
    assert typed(ENGLISH)
    assert typed(CHINESE) == typed(ENGLISH)


def called_by_tests() -> set[str]:
    """Commands that some other test carries out: the first word of what it gives to the command line."""
    found = set()
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        if path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                given = [argument.elts[0] if isinstance(argument, ast.List) and argument.elts else argument for argument in node.args]
                found |= {one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return found


def test_every_command_is_run_by_a_test() -> None:
    """What takes milliseconds is run below; what trains, serves or deletes, by tests that are found by what they call."""
    assert set(program().commands) - RUN_HERE - called_by_tests() == set()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the two files that README speaks of."""
    monkeypatch.chdir(tmp_path)
    days = [f"{year}-{month:02d}-{day:02d}" for year in range(2015, 2020) for month in range(1, 13) for day in range(1, 28, 3)]
    prices = "".join(f"{day},{100 + n},{101 + n},{99 + n},{100.5 + n},1000\n" for n, day in enumerate(days))
    (tmp_path / "prices.csv").write_text("Date,Open,High,Low,Close,Volume\n" + prices)
    loans = "".join(f"c{n},{day},{1000 + 10 * n},{'yes' if n % 3 else 'no'}\n" for n, day in enumerate(days))
    (tmp_path / "loans.csv").write_text("id,applied,amount,paid\n" + loans)
    return tmp_path


def test_the_commands_of_the_first_minutes_run_as_they_stand(desk: Path) -> None:
    lines = [line for line in typed(ENGLISH) if line.startswith("finflow init")]
    assert len(lines) == 2
    for line in lines:
        done = RUNNER.invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    drafted = [shlex.split(line)[2] for line in typed(ENGLISH) if line.startswith(("finflow validate", "finflow train"))]
    assert set(drafted) == {"prices.yaml"}
    for name in ("prices.yaml", "loans.yaml", "index-price"):
        assert RUNNER.invoke(app, ["show", name]).exit_code == 0
    for command in (["list"], ["schema"], ["--version"], ["alerts"], ["history", "prices.yaml"]):
        assert RUNNER.invoke(app, command).exit_code == 0, command
    assert RUNNER.invoke(app, ["report", "prices.yaml"]).exit_code == 1, "there is none yet"


WHOLE = {
    "README.md": ["my-prices"],
    "README.zh-CN.md": ["my-prices"],
    "pipelines/definitions/README.md": ["my-prices"],
    "pipelines/problems/README.md": ["applicants"],
}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_definitions_load(path: Path) -> None:
    from finflow.pipelines.definitions.definition import parse_definition

    found = [parse_definition(yaml.safe_load(block)).name for block in blocks(path, "yaml")]
    assert found == WHOLE.get(str(path.relative_to(REPOSITORY)), [])


def test_python_blocks_are_python() -> None:
    found = [(path, block) for path in documents() for block in blocks(path, "python")]
    assert ENGLISH in [path for path, _ in found]
    for path, block in found:
        compile(block, str(path), "exec")


@pytest.mark.parametrize("path", list(pages()), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_generated_parts_are_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == pages()[path], "make pages writes them"


@pytest.mark.parametrize("path", list(pages()), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_field_setting_and_rule_has_a_sentence(path: Path) -> None:
    rows = [re.split(r"(?<!\\)\|", line) for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows
    assert [cells[1].strip() for cells in rows if not cells[2].strip() or "None" in cells[2]] == []


def test_every_shipped_definition_has_its_result() -> None:
    text = (REPOSITORY / "pipelines" / "definitions" / "RESULTS.md").read_text(encoding="utf-8")
    shipped = sorted(path.stem for path in (REPOSITORY / "pipelines" / "definitions").glob("*.yaml"))
    assert [name for name in shipped if f"`{name}`" not in text] == []


def test_the_newest_version_has_its_changes() -> None:
    with (REPOSITORY / "pyproject.toml").open("rb") as stream:
        version = tomllib.load(stream)["project"]["version"]
    first = re.search(r"^## (\S+),", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert first is not None
    assert first[1] == version
