"""The key of a fit: a digest of everything that its numbers depend on, and of nothing else."""

from __future__ import annotations

import ast
import functools
import importlib.util
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.base import Hardware
from pipelines.digest import digest_file, digest_json

FORMAT = 1
#: distributions whose release may change a fit's bits
LIBRARIES = (
    *("numpy", "scipy", "torch", "pytorch-lightning", "scikit-learn", "imbalanced-learn"),
    *("statsmodels", "arch", "lightgbm", "safetensors", "skops"),
)
#: what carries out a fit beside the model's own sources
_AROUND = ("models.samples", "models.base", "models.saving", "pipelines.fit_data", "pipelines.fit_worker")


def fit_key(rows_digest: str, model: str, settings: dict[str, Any], task: dict[str, Any], seed: int, hardware: Hardware) -> str:
    """The key of one fit.

    Args:
        rows_digest: of the rows that train and validation samples read, and of their targets (`fit_data.digest_of`).
        settings: with every default filled in.
    """
    content = {
        "format": FORMAT,
        "rows": rows_digest,
        "model": model,
        "settings": settings,
        "task": task,
        "seed": seed,
        "hardware": asdict(hardware),
        "code": code_digest(model),
        "libraries": library_versions(),
        "machine": platform.machine(),
    }
    return digest_json(content)


def prediction_key(key: str, test_digest: str) -> str:
    """The key of a fit's predictions for test samples of that digest."""
    return digest_json({"format": FORMAT, "fit": key, "test": test_digest})


@functools.cache
def library_versions() -> dict[str, str]:
    """By distribution, its release; those not installed are left out."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def code_digest(model: str) -> str:
    """Of the source files that a zoo model runs: its module, what it imports from models/, and what carries out a fit.

    Raises:
        KeyError: the zoo has no such model.
    """
    from models.zoo import ZOO

    start = ZOO[model].partition(":")[0]
    files: dict[str, str] = {}
    waiting = [start, *_AROUND]
    while waiting:
        module = waiting.pop()
        path = _source(module)
        if module in files or path is None:
            continue
        files[module] = digest_file(path)
        if module == start or module.startswith("models."):
            waiting += sorted(_imported(path))
    return digest_json(files)


def _source(module: str) -> Path | None:
    """The file of a module, or None (a name within a module, a package without code). Nothing but the top package is imported."""
    top, *rest = module.split(".")
    found = importlib.util.find_spec(top)
    if found is None:
        return None
    if not rest:
        return Path(found.origin) if found.origin and found.origin.endswith(".py") else None
    for folder in found.submodule_search_locations or ():
        path = Path(folder, *rest)
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


@functools.cache
def _imported(path: Path) -> frozenset[str]:
    """Modules of models/ that a file imports, anywhere in it. The zoo is left out: it names every model, and runs none."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if name.startswith("models.") and name != "models.zoo")
