"""The bytes of a Delta table's commits: one digest each, of its log entry and of the files that it adds.

Nearly half of the bytes of a Parquet file of one row bear on nothing that is read from it (statistics, the schema's other copies), and a
changed one would pass unseen where only values are compared. So what a table's head remembers is the bytes.
"""

from __future__ import annotations

import hashlib
import json
from urllib.parse import unquote

from finflow.pipelines.lake.lake_files import LakeFiles

GONE = "gone"
EMPTY = "empty"


def log_entry(table: str, version: int) -> str:
    """The path of a commit's log entry in the lake."""
    return f"{table}/_delta_log/{version:020d}.json"


def commit_digests(files: LakeFiles, table: str, count: int) -> tuple[str, ...]:
    """By version from 0, what stands for the bytes of each commit: a digest, or `GONE` or `EMPTY` where its log entry is that."""
    return tuple(_digest(files, table, version) for version in range(count))


def committed_files(files: LakeFiles, table: str, version: int) -> list[str]:
    """The paths in the lake of a commit's log entry and of the files that it adds."""
    entry = log_entry(table, version)
    return [entry, *(f"{table}/{path}" for path in _added(files.read(entry) or b""))]


def _digest(files: LakeFiles, table: str, version: int) -> str:
    log = files.read(log_entry(table, version))
    if log is None:
        return GONE
    if not log.strip():
        return EMPTY
    total = hashlib.blake2b(log, digest_size=16)
    for path in _added(log):
        content = files.read(f"{table}/{path}")
        total.update(b"\0" if content is None else b"\1" + content)
    return total.hexdigest()


def _added(log: bytes) -> list[str]:
    """The paths in the table of the files that a log entry adds; of a damaged entry those that can still be read."""
    found = []
    for line in log.splitlines():
        try:
            found.append(unquote(str(json.loads(line)["add"]["path"])))
        except (ValueError, KeyError, TypeError):
            continue
    return sorted(found)
