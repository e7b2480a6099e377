"""The house as its sources say it: files by module, who imports whom, and which room a file is in."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from tests.support import REPOSITORY

PACKAGES = ("expectations", "flows", "models", "pipelines")
#: folders that are part of the room around them: the torch of a family of models, the rules of the suites, the simulators among the sources
PARTS = ("modules", "rules", "simulated")
#: where `finflow` itself lies; it is installed under that name alone
DOOR = "flows/package"


@functools.cache
def files() -> dict[str, Path]:
    """By the name under which it is imported, every file of the product."""
    found = {}
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = ("finflow", *path.relative_to(REPOSITORY).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    found["finflow"] = found.pop(f"finflow.{DOOR.replace('/', '.')}")
    return found


@functools.cache
def graph() -> dict[str, frozenset[str]]:
    """By module, those that it imports, anywhere in it; what is imported for types alone is left out."""
    return {module: frozenset(_imported(path)) - {module} for module, path in files().items()}


def imported_names(path: Path) -> Iterator[str]:
    """Every `a.b` of `import a.b` and every `a.b.c` of `from a.b import c` in a file, but for those that only type checkers read."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {id(inner) for node in ast.walk(tree) if _for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_in(name: str) -> str | None:
    """The longest module at the beginning of a dotted name; None where there is none."""
    while name and name not in files():
        name = name.rpartition(".")[0]
    return name or None


def room_of(module: str) -> str:
    """The folder that a module is in, as a path from the top of the repository. The door `python -m finflow.flows` is none."""
    if module == "finflow.flows.__main__":
        return module
    folder = files()[module].relative_to(REPOSITORY).parent
    return (folder.parent if folder.name in PARTS else folder).as_posix()


def names_in(path: Path) -> set[str]:
    """What a module has at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _imported(path: Path) -> set[str]:
    return {module for name in imported_names(path) if (module := module_in(name)) is not None}


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
