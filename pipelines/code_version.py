"""Which finflow this is: its release and a digest of its own sources, wherever they were installed from."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@functools.cache
def code_version() -> str:
    """For example `0.1.0+3f9c2a7be014`: the release, and 12 digits of the digest of all sources of the four packages."""
    from pipelines.digest import digest_file, digest_json

    root = Path(__file__).resolve().parent.parent
    files = [path for package in ("pipelines", "models", "expectations", "flows") for path in sorted((root / package).rglob("*.py"))]
    digest = digest_json({path.relative_to(root).as_posix(): digest_file(path) for path in files})[:12]
    try:
        return f"{version('finflow')}+{digest}"
    except PackageNotFoundError:
        return f"0+{digest}"
