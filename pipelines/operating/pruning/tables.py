"""Pruning of table versions: files that no kept version reads. No row of any table's newest version is touched, and no log entry."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.operating.pruning.folders import Waste
from finflow.pipelines.operating.pruning.needs import GRACE, TABLES, Needs


def waste_tables(lake: Lake, needs: Needs, now: pd.Timestamp) -> Iterator[Waste]:
    """Of each table that keeps files for old versions alone, how many nobody needs."""
    for name, cutoff in sorted(needs.cutoff.items()):
        for kind in TABLES:
            table = f"{kind}/{name}"
            versions = lake.versions(table)
            keep = kept_versions(versions, needs.tables.get(table, set()), min(cutoff, now - GRACE))
            if len(keep) == len(versions):
                continue
            files = lake.unneeded_files(table, keep)
            if files:
                yield Waste("table files", table, sum(files.values()), partial(lake.vacuum, table, keep))


def kept_versions(versions: dict[int, pd.Timestamp], recorded: set[int], cutoff: pd.Timestamp) -> list[int]:
    """The versions of a table that stay readable: recorded ones, all since `cutoff`, the one that was current then, and the newest."""
    since = {version for version, when in versions.items() if when >= cutoff}
    before = [version for version in sorted(versions) if version not in since]
    return sorted((since | set(before[-1:]) | {max(versions, default=0)} | recorded) & set(versions))
