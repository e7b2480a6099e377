"""Whether the versions that decisions name are still, byte for byte, those that were decided on; without a server, from files alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finflow.pipelines.core.errors import RegistryError
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.registry.files import MANIFEST, check_files, manifest_digest


@dataclass(frozen=True)
class Artifacts:
    """The folders of versions under one folder: by digest of the manifest, and by (definition, run key) of what it says of itself."""

    by_digest: dict[str, Path]
    by_run: dict[tuple[str, str], Path]


def find_artifacts(root: Path | None) -> Artifacts:
    """Every version's folder under `root`, wherever MLflow put it; none without a root."""
    found = Artifacts({}, {})
    for path in sorted(root.rglob(MANIFEST)) if root is not None and root.is_dir() else ():
        found.by_digest[manifest_digest(path.parent)] = path.parent
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            found.by_run[(str(facts["definition"]), str(facts["run_key"]))] = path.parent
        except (ValueError, KeyError, TypeError):
            found.by_run[("", str(path.parent))] = path.parent
    return found


def check_version(name: str, row: PromotionRow, rows: Sequence[PromotionRow], artifacts: Artifacts) -> str:
    """`passed`, `FAILED: ...`, or why it cannot be said, of the version that a decision names."""
    if row.version is None:
        return "no version"
    first = next(one for one in rows if one.version == row.version)
    if first.manifest_digest != row.manifest_digest:
        return f"FAILED: decision {first.sequence} recorded another manifest of version {row.version}"
    folder = artifacts.by_digest.get(row.manifest_digest)
    if folder is None:
        other = artifacts.by_run.get((name, first.run_key))
        damaged = [path for (definition, _), path in artifacts.by_run.items() if not definition]
        if other is not None:
            return f"FAILED: the manifest of version {row.version} was changed ({other / MANIFEST})"
        return f"not there{f'; {damaged[0] / MANIFEST} is damaged' if damaged else ''}"
    try:
        check_files(folder)
    except RegistryError as error:
        return f"FAILED: version {row.version}: {error}"
    return "passed"
