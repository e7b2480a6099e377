"""The key of a fit: a digest of everything that its numbers depend on, and of nothing else."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

from finflow.models.base import Hardware
from finflow.pipelines.core.code import code_digest, library_versions
from finflow.pipelines.core.digest import digest_json

FORMAT = 1


def fit_key(rows_digest: str, model: str, settings: dict[str, Any], task: dict[str, Any], seed: int, hardware: Hardware) -> str:
    """The key of one fit.

    Args:
        rows_digest: of the rows that train and validation samples read, and of their targets (`finflow.pipelines.fits.data.digest_of`).
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
