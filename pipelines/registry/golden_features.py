"""A golden batch of features: clean rows of a version's data, and what its features were when it was made.

The golden batch of a model holds rows after features, and says nothing where a feature's formula has changed: the model would answer as
ever, and read what it has not learnt from. So a version keeps a few clean rows too, and is refused where today's code and libraries no
longer make the same of them. They are tried by the definition as it was then: what it asks today is another matter (see `asked`).

"The same": of each column no value differs by more than a millionth of the column's largest (TOLERANCE; processors and libraries round
differently), what is missing is missing, and codes of categories and the rows that end a sample are exactly those.

data/served/golden_rows.parquet            clean rows: all columns but the personal ones that nothing reads
data/served/golden_features.safetensors    the observations of all these rows; which of them end a sample, and these samples' origins
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import CATEGORIES, Samples
from finflow.pipelines.core.code import sample_code, sample_code_digest
from finflow.pipelines.core.errors import OutdatedError
from finflow.pipelines.data.contract_rules import columns_read
from finflow.pipelines.definitions.definition import Definition, problem_of
from finflow.pipelines.features.panel import Int64, Panel, Past
from finflow.pipelines.problems import PROBLEMS, problem_settings
from finflow.pipelines.samples.features import categorical_features, feature_reach
from finflow.pipelines.samples.windows import build_samples, sample_releases, sample_settings
from finflow.pipelines.settings.parts import Feature, Window

ROWS = "golden_rows.parquet"
FEATURES = "golden_features.safetensors"
TOLERANCE = 1e-6
#: rows that are kept, about; more where a single sample reads more
KEPT_ROWS = 2048
MOST_SAMPLES = 64
#: of a row's key, for features of earlier rows: how many of these are kept beside each sample
EARLIER_ROWS = 8
_NAMED = 3  # columns that a message names
_Made = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """Clean rows of a few samples, and the definition by which features are made of them."""

    definition: Definition
    rows: pd.DataFrame


def draw_features(definition: Definition, clean: pd.DataFrame, samples: Samples) -> FeatureBatch:
    """Draw the rows that a few of the labelled samples read, spread evenly over all of them.

    Args:
        clean: the rows that `samples` were built of, sorted by entity and time.
    """
    named = {"entity", "time", *columns_read(definition)}
    columns = [name for name in clean.columns if name in named or name not in definition.personal]
    kept = _rows_read(definition, clean, samples)
    return FeatureBatch(definition, clean.loc[kept, columns].reset_index(drop=True))


def write_features(folder: Path, batch: FeatureBatch) -> dict[str, Any]:
    """Write the rows and their features into `folder`; what the manifest says of them.

    Returns:
        `code` (digest of the sources that make samples), `sources` (the digest of each), `settings` (the definition's parts that bear on
        samples), `releases` (of the libraries that do), and the observations' `columns`.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet
    from safetensors.numpy import save_file

    parquet.write_table(pa.Table.from_pandas(batch.rows, preserve_index=False), folder / ROWS)
    columns, made = _made(batch.definition, _read_rows(folder))
    save_file({name: np.ascontiguousarray(array) for name, array in made.items()}, folder / FEATURES)
    problem = type(problem_of(batch.definition))
    return {
        "code": sample_code_digest(problem),
        "sources": dict(sample_code(problem)),
        "settings": sample_settings(batch.definition),
        "releases": sample_releases(),
        "columns": list(columns),
    }


def replay_features(folder: Path, manifest: Mapping[str, Any]) -> None:
    """See that the golden rows still give the golden features.

    Args:
        folder: holds ROWS and FEATURES.
        manifest: of the version.

    Raises:
        OutdatedError: naming the features that come out otherwise, what has changed since, and what to do.
        OSError, ValueError, KeyError: the files or the manifest cannot be read.
    """
    from safetensors.numpy import load_file

    recorded = manifest["samples"]
    rows, then, columns = _read_rows(folder), load_file(folder / FEATURES), tuple(recorded["columns"])
    try:
        definition = _definition(str(manifest.get("definition", "")), recorded["settings"])
        columns_now, now = _made(definition, rows)
        changes = _changes(columns, then, columns_now, now, categorical_features(definition))
    except Exception as error:
        changes = [f"they cannot be made any more ({type(error).__name__}: {error})"]
    if changes:
        more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
        raise _outdated(", ".join(changes[:_NAMED]) + more, manifest)


def _definition(name: str, settings: Mapping[str, Any]) -> Definition:
    """A definition of which there is what bears on samples, and nothing else."""
    return Definition.model_construct(
        name=name,
        calendar=settings["calendar"],
        features=tuple(Feature.model_validate(one) for one in settings["features"]),
        window=Window.model_validate(settings["window"]),
        problem=problem_settings()[settings["problem"]["kind"]].model_validate(settings["problem"]),
    )


def _read_rows(folder: Path) -> pd.DataFrame:
    import pyarrow.parquet as parquet

    return pd.DataFrame(parquet.ParquetFile(folder / ROWS).read(use_threads=False).to_pandas(use_threads=False))


def _made(definition: Definition, rows: pd.DataFrame) -> tuple[tuple[str, ...], _Made]:
    """What the code makes of clean rows: names of the observations' columns, and what is compared."""
    samples = build_samples(definition, rows)
    observations, index = samples.observations, samples.index
    made: _Made = {"values": observations.values, "row": index.row, "origin": index.origin}
    if CATEGORIES in observations.blocks:
        made["categories"] = observations.blocks[CATEGORIES]
    return samples.columns, made


def _changes(columns: tuple[str, ...], then: _Made, columns_now: tuple[str, ...], now: _Made, categories: tuple[str, ...]) -> list[str]:
    """What differs, in words; nothing where all is the same."""
    if columns != columns_now:
        return [f"the columns were {', '.join(columns)}, and are {', '.join(columns_now)}"]
    if then["values"].shape != now["values"].shape or then.keys() != now.keys():
        return [f"{then['values'].shape[0]} rows with {len(then)} parts became {now['values'].shape[0]} with {len(now)}"]
    pairs = {name: (then["values"][:, place], now["values"][:, place]) for place, name in enumerate(columns)}
    changes = [change for name, (old, new) in pairs.items() if (change := _moved(name, old, new))]
    for place, name in enumerate(categories):
        other = int((then["categories"][:, place] != now["categories"][:, place]).sum())
        changes += [f"{name} (another code in {other} of {len(then['values'])} rows)"] if other else []
    if not np.array_equal(then["row"], now["row"]):
        return [*changes, f"the rows that end a sample ({len(then['row'])} became {len(now['row'])})"]
    origin = _moved("the level that answers are laid out from", then["origin"], now["origin"])
    return [*changes, origin] if origin else changes


def _moved(name: str, then: NDArray[Any], now: NDArray[Any]) -> str | None:
    """How far a column is from what it was, in words; None: within the tolerance."""
    old, new = then.astype(np.float64), now.astype(np.float64)
    finite = np.isfinite(old)
    largest = float(np.abs(old[finite]).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        same = (old == new) | (np.isnan(old) & np.isnan(new)) | (np.abs(old - new) <= TOLERANCE * largest)
    if same.all():
        return None
    both = finite & np.isfinite(new)
    difference = float(np.abs(old[both] - new[both]).max(initial=0.0))
    return f"{name} (in {int((~same).sum())} of {len(same)} rows, by up to {difference:.3g})"


def _rows_read(definition: Definition, clean: pd.DataFrame, samples: Samples) -> NDArray[np.bool_]:
    """bool, [rows]: what the chosen samples read: of its entity (of all, where samples are of rows made of several) and of its keys."""
    past = Panel(clean).past
    codes, names = pd.factorize(clean["entity"])
    whose = {str(name): code for code, name in enumerate(names)}
    together = problem_of(definition).arrange(clean) is not clean
    keys = {feature.key_columns for feature in definition.features if feature.key is not None}
    depth = feature_reach(definition) + definition.window.length + 1  # one more, for the change to the first
    observations, index = samples.observations, samples.index
    kept = np.zeros(len(clean), dtype=bool)
    for sample in _chosen(samples, depth * (len(names) if together else 1)):
        row, entity = index.row[sample], index.entity[sample]
        begin = observations.time[max(row - depth + 1, observations.first[entity])].astype(np.int64)
        end = index.time[sample].astype("datetime64[ns]").astype(np.int64)
        near = (past.time >= begin) & (past.time <= end)
        if together:
            kept |= near
            continue
        near &= codes == whose[observations.entities[entity]]
        kept |= near
        for key in keys:
            kept[_earlier(past, past.key(key), int(np.flatnonzero(near)[-1]))] = True
    return kept


def _chosen(samples: Samples, rows: int) -> Int64:
    """int64: labelled samples, evenly over all; as many as KEPT_ROWS hold at `rows` each, one at least."""
    labelled = np.flatnonzero(samples.index.labelled)
    count = min(max(KEPT_ROWS // rows, 1), MOST_SAMPLES)
    return labelled[np.unique(np.linspace(0, len(labelled) - 1, count).astype(np.int64))]


def _earlier(past: Past, key: Int64, row: int) -> Int64:
    """int64: the last rows with the row's key before it."""
    earlier = np.flatnonzero((key == key[row]) & (key >= 0) & (past.time < past.time[row]))
    return earlier[np.argsort(past.time[earlier], kind="stable")[-EARLIER_ROWS:]]


def _outdated(change: str, manifest: Mapping[str, Any]) -> OutdatedError:
    command = f" (finflow train {manifest['definition']})" if "definition" in manifest else ""
    code = f" {manifest['code']}" if "code" in manifest else ""
    return OutdatedError(
        f"its features no longer come out of the same clean rows as when it was made: {change}{_since(manifest['samples'])}. Its model "
        f"would read what it has not learnt from. Train again{command}, or return to the code and libraries that it was made with{code}.",
        f"its features come out otherwise: {change}",
    )


def _since(recorded: Mapping[str, Any]) -> str:
    """Which sources and libraries of samples are not those of the version's making, in words."""
    then, releases = recorded["sources"], sample_releases()
    try:
        now = dict(sample_code(PROBLEMS[recorded["settings"]["problem"]["kind"]]))
    except (KeyError, ModuleNotFoundError):  # there is no such kind of problem any more
        now = {}
    sources = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    libraries = [
        f"{name} {was} became {releases.get(name)}" for name, was in sorted(recorded["releases"].items()) if releases.get(name) != was
    ]
    more = f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
    words = [", ".join(sources[:_NAMED]) + f"{more} changed" if sources else "", *libraries]
    told = "; ".join(word for word in words if word)
    return f"; since then {told}" if told else "; no source and no library of samples has changed since: this machine works otherwise"
