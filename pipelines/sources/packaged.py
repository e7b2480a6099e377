"""Data files that lie in an installed package, found without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def package_file(package: str, *parts: str) -> Path:
    """Where a file of a top-level package lies.

    Raises:
        ImportError: the package is not installed.
    """
    found = find_spec(package)  # of a top-level package this imports nothing
    if found is None or found.origin is None:
        raise ImportError(f"{package} is not installed")
    return Path(found.origin).parent.joinpath(*parts)
