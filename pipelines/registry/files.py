"""A served version as a folder, and the checks that it must pass before anything in it is loaded.

MLmodel, conda.yaml, python_env.yaml, requirements.txt    MLflow's; only the loader `finflow.pipelines.registry.loader` is admitted
data/served/model/                                        the model, as models/saving.py writes it
data/served/golden.safetensors                            raw inputs and the outputs they gave
data/served/golden_rows.parquet, golden_features.safetensors   clean rows and the features they gave (see golden_features.py)
manifest.json                                             what it is, and the digest of every other file
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import yaml

from finflow.pipelines.core.digest import digest_file
from finflow.pipelines.core.errors import OutdatedError, RegistryError

#: 1 had no rows to try the features on, so that nobody could say whether today's are those that its model has learnt from
FORMAT = 2
LOADER = "finflow.pipelines.registry.loader"
#: what versions name that were made before the packages had the names by which they are imported now
EARLIER_LOADERS = ("pipelines.served_model",)
DATA = "data/served"
MANIFEST = "manifest.json"
#: MLflow writes this one beside a version's files when it loads them from a registry; nothing reads it
_ADDED_BY_MLFLOW = "registered_model_meta"
_SUFFIXES = {".json", ".parquet", ".safetensors", ".skops", ".txt", ".yaml"}
_MLMODEL_FLAVOR_KEYS = {"loader_module", "python_version", "data", "env", "streamable"}


def manifest_digest(folder: Path) -> str:
    """What the promotions table keeps of a version: the digest of its manifest, which holds the digests of all else.

    Raises:
        RegistryError: there is no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise RegistryError(f"{folder} has no {MANIFEST}: it was not made by finflow, or is damaged. Train again.")
    return digest_file(path)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a version.

    Raises:
        OutdatedError: of a format that an earlier finflow wrote.
        RegistryError: absent, unreadable, or of a format that none wrote.
    """
    manifest_digest(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RegistryError(f"{folder / MANIFEST} cannot be read ({error}). Train again.") from None
    made = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(made, int) and 0 < made < FORMAT:
        change = f"it is of format {made}, and this finflow reads format {FORMAT}"
        raise OutdatedError(f"{folder / MANIFEST}: {change}, which holds rows to try the features on. Train again.", change)
    if not isinstance(manifest, dict) or made != FORMAT or not isinstance(manifest.get("files"), dict):
        raise RegistryError(f"{folder / MANIFEST} is not of format {FORMAT}, which this finflow reads. Train again.")
    return manifest


def write_manifest(folder: Path, facts: dict[str, Any]) -> str:
    """Write the manifest of a finished folder; its digest."""
    files = {name: digest_file(folder / name) for name in sorted(_files(folder))}
    text = json.dumps({"format": FORMAT, "files": files, **facts}, indent=1, sort_keys=True, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest_digest(folder)


def check_files(folder: Path) -> dict[str, Any]:
    """See that a version's folder is of the known kind and whole, reading bytes and plain YAML and JSON only; its manifest.

    Raises:
        RegistryError: another loader, bundled code, a file that is missing, changed, added, or of a kind that is never admitted.
    """
    present = _files(folder)
    for name in sorted(present):
        if name != "MLmodel" and Path(name).suffix not in _SUFFIXES:
            raise RegistryError(f"{name} in {folder}: files of this kind are never loaded (only {', '.join(sorted(_SUFFIXES))}).")
    _check_loader(folder)
    manifest = read_manifest(folder)
    expected: dict[str, str] = manifest["files"]
    added, missing = sorted(present - set(expected)), sorted(set(expected) - present)
    if added:
        raise RegistryError(
            f"{added[0]} in {folder} is not in the version's manifest: somebody added it. Restore the folder or train again."
        )
    if missing:
        raise RegistryError(f"{missing[0]} is missing in {folder}. Restore the folder or train again.")
    for name, digest in sorted(expected.items()):
        if digest_file(folder / name) != digest:
            raise RegistryError(f"{name} in {folder} was changed after the version was made. Restore the folder or train again.")
    return manifest


def _files(folder: Path) -> set[str]:
    """Relative names of all files but the manifest.

    Raises:
        RegistryError: something in it is no plain file or folder.
    """
    names = set()
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise RegistryError(f"{path} is a link or a device: a version holds plain files only.")
        if stat.S_ISREG(mode):
            names.add(path.relative_to(folder).as_posix())
    return names - {MANIFEST, _ADDED_BY_MLFLOW}


def _check_loader(folder: Path) -> None:
    path = folder / "MLmodel"
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
        flavors = described["flavors"]
        function = flavors["python_function"]
        loader = function["loader_module"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise RegistryError(f"{path} is absent or no MLmodel file ({type(error).__name__}). Restore the folder or train again.") from None
    if loader in EARLIER_LOADERS:
        change = f"it was made by an earlier finflow, whose loader was {loader}"
        raise OutdatedError(f"{path}: {change}. Train again.", change)
    if loader != LOADER:
        raise RegistryError(f"{path} names the loader {loader!r}: only {LOADER} is admitted.")
    if function.get("code"):
        raise RegistryError(f"{path} brings code of its own ({function['code']!r}): a version holds none.")
    others = sorted({*flavors} - {"python_function"}) + sorted(key for key in function if key not in _MLMODEL_FLAVOR_KEYS and function[key])
    if others or function.get("data") != DATA:
        raise RegistryError(f"{path} holds what finflow does not write ({', '.join(others) or function.get('data')}).")
