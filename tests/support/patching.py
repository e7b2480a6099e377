"""Replacing what modules have imported by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

import pytest


def replace_names(monkeypatch: pytest.MonkeyPatch, fake: ModuleType, importers: Sequence[str]) -> None:
    """Give modules that import from the module that `fake` stands for what `fake` has in its place."""
    for importer in importers:
        module = importlib.import_module(importer)
        for name, value in vars(fake).items():
            if not name.startswith("__") and hasattr(module, name):
                monkeypatch.setattr(module, name, value)
