"""A version that was loaded and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finflow.models.base import Model, Task


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A version that passed every check, ready to predict.

    Attributes:
        manifest: what the version says of itself: what it was asked, candidate, recipe, as_of, data, libraries, files.
    """

    model: Model
    task: Task
    name: str
    version: int
    manifest_digest: str
    manifest: dict[str, Any]
