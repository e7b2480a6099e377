"""Replacing what modules have imported by name, in every module that has."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from tests.support.house import files, imported_names

if TYPE_CHECKING:
    import pytest


def replace_everywhere(monkeypatch: pytest.MonkeyPatch, address: str, replacement: object) -> None:
    """Put `replacement` in place of what stands at `address`, MODULE.NAME, in every module that holds it, under whatever name.

    Modules of finflow that import it are loaded first: one that came later would take the replacement, and keep it after the test.
    LookupError where nothing stands at the address, so that what moved away cannot be missed silently.
    """
    home, _, name = address.rpartition(".")
    module = importlib.import_module(home)
    if name not in vars(module):
        raise LookupError(f"{home} has no {name}: nothing would be replaced")
    for importer in _importers(address):
        importlib.import_module(importer)
    for holder, held in list(holders(vars(module)[name])):
        monkeypatch.setattr(holder, held, replacement)


def holders(thing: object) -> Iterator[tuple[ModuleType, str]]:
    """The loaded modules of finflow and of the tests' support that have this very object, each with the name it has there."""
    for address, module in list(sys.modules.items()):
        if address.startswith(("finflow.", "tests.support.")):
            yield from ((module, name) for name, value in list(vars(module).items()) if value is thing)


def _importers(address: str) -> list[str]:
    word = re.compile(rf"\b{re.escape(address.rpartition('.')[2])}\b")
    named = [module for module, path in files().items() if word.search(path.read_text(encoding="utf-8"))]
    return [module for module in named if address in imported_names(files()[module])]
