"""Pruning of folders under the home: fits, samples, evaluations, validations, and the records of what pruned runs needed.

A folder is renamed before it is removed: a prune that is killed leaves no folder that looks whole and is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from finflow.pipelines.core.home import Home
from finflow.pipelines.core.whole_files import left_behind, remove, remove_whole
from finflow.pipelines.operating.pruning.needs import GRACE, Needs


@dataclass(frozen=True)
class Waste:
    """Something that nobody needs: what kind of thing, its name, the bytes it takes, and how to be rid of it."""

    kind: str
    name: str
    bytes: int
    free: Callable[[], None] = field(repr=False, compare=False)


def waste_folders(home: Home, needs: Needs, now: pd.Timestamp) -> Iterator[Waste]:
    """Folders that nothing kept needs, and that are older than the rule and a day."""
    fits = _Judge(needs.earliest, now)
    yield from _left_behind(home)
    if not needs.unknown:
        for path in _folders(home.fits):
            if _fit_of(path) not in needs.fits and fits.is_old(path):
                yield _folder("fits", path)
        for path in _folders(home.samples):
            if path.name not in needs.samples and fits.is_old(path):
                yield _folder("samples", path)
    for path in (*_folders(home.evaluations), *_folders(home.trials)):
        if path.name not in needs.runs and fits.is_old(path):
            yield _folder("evaluations", path)
    for path in _folders(home.validations):
        if path.name not in needs.validations and fits.is_old(path):
            yield _folder("validations", path)
    for path in sorted(home.runs.glob("[!.]*.json")):
        if path.stem not in needs.runs and fits.is_old(path):
            yield Waste("records of runs", path.name, path.stat().st_size, path.unlink)


@dataclass(frozen=True)
class _Judge:
    cutoff: pd.Timestamp
    now: pd.Timestamp

    def is_old(self, path: Path) -> bool:
        """Older than the rule, and so old that no running command can have made it just now."""
        changed = pd.Timestamp(path.stat().st_mtime, unit="s", tz="UTC")
        return changed < self.cutoff and changed < self.now - GRACE


def _folders(parent: Path) -> list[Path]:
    """Finished folders; hidden ones are being made, or hold locks."""
    return sorted(path for path in parent.glob("[!.]*") if path.is_dir() and not path.is_symlink()) if parent.is_dir() else []


def _left_behind(home: Home) -> Iterator[Waste]:
    """What killed commands had not finished, and what a killed prune had renamed."""
    for parent in (home.fits, home.samples, home.evaluations, home.trials, home.validations):
        for path in left_behind(parent):
            yield Waste(parent.name, path.name, size_of(path), partial(remove, path))


def _fit_of(path: Path) -> str:
    """The key of the fit in a folder, or of the one whose predictions it holds."""
    try:
        return str(json.loads((path / "prediction.json").read_text(encoding="utf-8"))["fit"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.name


def _folder(kind: str, path: Path) -> Waste:
    return Waste(kind, path.name, size_of(path), partial(remove_whole, path))


def size_of(path: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())
