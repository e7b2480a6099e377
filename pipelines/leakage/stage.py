"""The cheap part of the leakage check, as a stage of every training: seconds, whatever the size of the table.

Of a large table a part is looked at: whole entities or, where each row is one, the rows of the last dates. The result is kept beside the
samples that it is of, and a training on the same samples reads it there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from finflow.models.samples import Samples
from finflow.pipelines.core.code import sample_code_digest
from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.manifests import SampleManifest
from finflow.pipelines.core.source_digests import source_digests
from finflow.pipelines.core.whole_files import write_whole
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.as_of import KEY
from finflow.pipelines.leakage.check import (
    LeakageCheck,
    LeakageReport,
    as_known,
    future_changes_nothing,
    no_column_knows_the_target,
    planted_future_is_caught,
)
from finflow.pipelines.leakage.data import cut_dates, worlds_without_future
from finflow.pipelines.samples.windows import build_samples, known_rows, open_samples

#: a second or two for ten features; a table of more is looked at in part
MOST_ROWS = 100_000
RESULT = "leakage.json"


@dataclass(frozen=True, eq=False)
class Inspected:
    """What is looked at.

    Attributes:
        manifest: the samples of the training.
        rows: clean rows, all or a part, the latest revision of each; `revisions`: every revision of these rows.
        samples: built of `rows` alone.
        whole: `rows` are all that there are.
        cuts: datetime64[D]: dates after which the future is replaced; none where rows have no time.
    """

    context: Context
    manifest: SampleManifest
    rows: pd.DataFrame
    revisions: pd.DataFrame
    whole: bool
    samples: Samples
    cuts: tuple[np.datetime64, ...]


def _past(seen: Inspected) -> LeakageCheck:
    if not seen.cuts:
        return LeakageCheck("the future does not change the past", False, "there are no two dates: there is no future", tried=False)
    definition = seen.context.definition
    worlds = [world for cut in seen.cuts for world in worlds_without_future(definition, seen.rows, cut, definition.seed)]
    return future_changes_nothing(seen.samples, worlds)


def _target(seen: Inspected) -> LeakageCheck:
    return no_column_knows_the_target(seen.context.definition, seen.samples)


def _planted(seen: Inspected) -> LeakageCheck:
    return planted_future_is_caught(seen.context.definition, seen.rows, seen.samples, seen.cuts[-1] if seen.cuts else None)


def _known(seen: Inspected) -> LeakageCheck:
    definition, as_of = seen.context.definition, pd.Timestamp(seen.manifest.clean.as_of)
    if seen.whole:  # the very samples that are trained on
        return as_known(definition, seen.revisions, open_samples(seen.manifest.folder))
    return as_known(definition, seen.revisions, build_samples(definition, seen.rows, as_of, seen.revisions))


#: what every training tries; another check is one more name here
CHECKS: tuple[Callable[[Inspected], LeakageCheck], ...] = (_past, _known, _target, _planted)


def check_samples(context: Context, manifest: SampleManifest) -> LeakageReport:
    """Try to make the future change the past of a training's samples; what was tried before on the same samples is not tried again.

    Raises:
        StateError: the clean rows are not there any more.
    """
    key = _key(context, manifest)
    path = Path(manifest.folder) / RESULT
    kept = _kept(path, key)
    if kept is not None:
        return kept
    definition = context.definition
    known = known_rows(context, manifest.clean)
    rows = part_of_rows(known.latest, context.problem.independent, definition.seed)
    whole = len(rows) == len(known.latest)
    revisions = known.revisions if whole else known.revisions.merge(rows[KEY], on=KEY)
    samples = build_samples(definition, rows, pd.Timestamp(manifest.clean.as_of))
    cuts = () if definition.folds.kind == "stratified" else tuple(cut_dates(rows))
    seen = Inspected(context, manifest, rows, revisions, whole, samples, cuts)
    checks = tuple(check(seen) for check in CHECKS)
    report = LeakageReport(all(check.passed or not check.tried for check in checks), checks)
    write_whole(path, json.dumps({"key": key, **report.to_dict()}, ensure_ascii=False))
    return report


def part_of_rows(clean: pd.DataFrame, independent: bool, seed: int, most: int = MOST_ROWS) -> pd.DataFrame:
    """At most so many clean rows, by their dates together: of independent rows the last, else whole entities; of one alone its last.

    Args:
        independent: every row is a sample of its own.
    """
    if len(clean) <= most:
        return clean
    if not independent:
        entities, sizes = np.unique(clean["entity"].to_numpy(dtype=object).astype(str), return_counts=True)
        drawn = np.random.default_rng(seed).permutation(len(entities))
        chosen = drawn[np.cumsum(sizes[drawn]) <= most]
        if len(chosen):
            return clean[clean["entity"].astype(str).isin(set(entities[chosen]))].reset_index(drop=True)
        clean = clean[clean["entity"].astype(str) == entities[drawn[0]]]
    return clean.sort_values("time", kind="stable").tail(most).reset_index(drop=True)


def _key(context: Context, manifest: SampleManifest) -> str:
    """Of the samples, and of what tries them."""
    tried = source_digests(("finflow.pipelines.leakage.stage",), ("finflow.pipelines.leakage",))
    return digest_json([manifest.digest, context.definition.seed, sample_code_digest(type(context.problem)), dict(tried)])


def _kept(path: Path, key: str) -> LeakageReport | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["key"] != key:
            return None
        checks = tuple(LeakageCheck(**{**check, "columns": tuple(check["columns"])}) for check in found["checks"])
        return LeakageReport(found["passed"], checks)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
