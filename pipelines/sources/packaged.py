"""Data files that lie in an installed package, found without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def package_file(package: str, *parts: str) -> Path:
    """Where a file of a top-level package lies.

    Raises:
        ImportError: the package is not installed.
    """
    spec = find_spec(package)  # of a top-level package this imports nothing
    if spec is None or spec.origin is None:
        raise ImportError(f"{package} is not installed")
    return Path(spec.origin).parent.joinpath(*parts)
