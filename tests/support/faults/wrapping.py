"""Putting something around a function of finflow, by its name, wherever it is called from."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from tests.support.patching import holders


def wrap(place: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace the function at `place`, MODULE:FUNCTION or MODULE:CLASS.METHOD, by what `around` makes of it.

    Modules that are loaded already and have imported it by name get the new one too; those that come later take it from its own.
    """
    module_name, _, path = place.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    wrapped = around(original)
    setattr(owner, name, wrapped)
    for module, held in list(holders(original)):
        setattr(module, held, wrapped)
