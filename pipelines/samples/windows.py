"""Samples: clean rows become one tensor of observations and the index of its valid windows. No window is ever materialised."""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.base import Task
from finflow.models.samples import CATEGORIES, Observations, SampleIndex, Samples
from finflow.pipelines.core.code import sample_code_digest
from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import ContractError, DefinitionError, NotEnoughHistoryError
from finflow.pipelines.core.manifests import CleanManifest, SampleManifest
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.features.panel import SEGMENT, first_rows
from finflow.pipelines.lake.as_of import read_as_of
from finflow.pipelines.samples.features import categorical_features, category_block, feature_frame, feature_reach, numeric_features
from finflow.pipelines.samples.rows import Dropped, breaks_of, known_targets, valid_rows
from finflow.pipelines.samples.store import is_complete, open_samples, read_facts, write_samples

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

__all__ = ["build_samples", "open_samples", "store_samples", "task_of"]


def build_samples(definition: Definition, clean: pd.DataFrame, as_of: pd.Timestamp | None = None) -> Samples:
    """Every sample that the clean rows hold, labelled or not, entity after entity in time order.

    Args:
        clean: `entity`, `time`, and the columns that features and problem read; any order.
        as_of: an instant; a label that ends on a later date counts as not known yet. None: every label in the rows is known.

    Returns:
        float32 observations [rows, features + the problem's own columns]; the index may be empty.

    Raises:
        DefinitionError: a column is missing, or a feature has the name of one of the problem's own columns.
        ContractError: an entity has two rows of one time.
    """
    return _build(definition, clean, as_of)[0]


def store_samples(context: Context, clean: CleanManifest) -> SampleManifest:
    """The samples of a clean batch, in a folder named by the digest of all that they depend on; what is there already is used again.

    Raises:
        NotEnoughHistoryError: there is no sample at all; says how much history is needed.
        DefinitionError: see `build_samples`.
    """
    definition = context.definition
    digest = _digest(context, clean)
    folder = context.home.samples / digest
    if not is_complete(folder):
        samples, dropped = _build(definition, clean_rows(context, clean), pd.Timestamp(clean.as_of))
        require_samples(definition, samples, dropped)
        facts: dict[str, Any] = {
            "observations": len(samples.observations.values),
            "samples": len(samples),
            "labelled": int(samples.index.labelled.sum()),
            "dropped": asdict(dropped),
        }
        write_samples(samples, folder, facts)
    found = read_facts(folder)
    columns = tuple(open_samples(folder).columns)
    return SampleManifest(
        folder=str(folder),
        digest=digest,
        observations=found["observations"],
        samples=found["samples"],
        labelled=found["labelled"],
        columns=columns,
        task=task_of(definition, columns).to_dict(),
        clean=clean,
    )


def clean_rows(context: Context, clean: CleanManifest) -> pd.DataFrame:
    """The rows that the samples of a clean batch are built of, sorted by entity and time.

    Raises:
        StateError: there is no such table or version.
    """
    return read_as_of(context.lake, clean.table, pd.Timestamp(clean.as_of), clean.version, outcome=outcome_column(context.definition))


def outcome_column(definition: Definition) -> str | None:
    """The column of the outcome, where the problem has one."""
    found = problem_of(definition).outcome_values
    return None if found is None else found[0]


def count_dropped(definition: Definition, clean: pd.DataFrame) -> Dropped:
    """How many rows end no sample, and why."""
    return _build(definition, clean, None)[1]


def _digest(context: Context, clean: CleanManifest) -> str:
    """Of the clean rows, the parts of the definition that bear on samples, and the code that builds them."""
    made_by = {
        "settings": sample_settings(context.definition),
        "code": sample_code_digest(type(context.problem)),
        "releases": sample_releases(),
    }
    return digest_json({"clean": clean.digest, "as_of": clean.as_of, **made_by})


def sample_settings(definition: Definition) -> dict[str, Any]:
    """The parts of a definition that bear on samples, as JSON-able values."""
    return definition.model_dump(mode="json", include={"features", "window", "problem", "calendar"})


def sample_releases() -> dict[str, str]:
    """The libraries that bear on samples: a release of the calendars may change which sessions there were, and so gaps and target dates."""
    return {name: version(name) for name in ("numpy", "pandas", "exchange_calendars")}


def task_of(definition: Definition, columns: tuple[str, ...]) -> Task:
    """What the definition's problem asks of a model whose observations have these columns."""
    problem = problem_of(definition)
    task = problem.task(columns, numeric_features(definition))
    return replace(task, categories=categorical_features(definition), missing=problem.admits_missing)


def needed_history(definition: Definition) -> int:
    """Observations of one entity that the first labelled sample needs: features' reach, window and horizon."""
    return feature_reach(definition) + definition.window.length + definition.window.horizon


def require_samples(definition: Definition, samples: Samples, dropped: Dropped) -> None:
    """See that there is a sample at all.

    Raises:
        NotEnoughHistoryError: there is none; says how much is needed and why rows were dropped.
    """
    if len(samples):
        return
    longest = int(np.diff(samples.observations.first).max()) if len(samples.observations.values) else 0
    count, length = len(samples.observations.values), definition.window.length
    raise NotEnoughHistoryError(
        f"{definition.name}: no window of {length} observations can be cut from {count:,} clean rows (the longest entity has {longest:,}): "
        f"{dropped.sentence}. The first labelled sample needs {needed_history(definition)} observations of one entity; give more history, "
        "or lower window.length or a feature's window."
    )


def _build(definition: Definition, clean: pd.DataFrame, as_of: pd.Timestamp | None) -> tuple[Samples, Dropped]:
    problem = problem_of(definition)
    _require_columns(clean, ("entity", "time", *problem.required))
    clean = problem.arrange(_in_order(clean))
    first = first_rows(clean)
    time = clean["time"].to_numpy().astype("datetime64[ns]")
    if problem.independent:
        breaks = np.zeros(len(time), dtype=bool)  # nothing is taken across a gap
    else:
        breaks = breaks_of(time, first, definition.calendar, definition.window.maximum_gap)
    begins = breaks.copy()
    begins[first[:-1]] = True
    clean[SEGMENT] = np.cumsum(begins)
    features = feature_frame(definition, clean)
    categories = categorical_features(definition)
    observed = problem.observe(clean)
    twice = sorted(set(features.columns) & set(observed.columns))
    if twice:
        raise DefinitionError(f"features: {twice} are names of the problem's own columns; give the features another `name`.")
    values = _tensor(features, observed)
    columns = (*features.columns, *observed.columns)
    observations = Observations(
        values=values,
        columns=tuple(str(name) for name in columns),
        entities=tuple(str(name) for name in clean["entity"].to_numpy()[first[:-1]]),
        first=first,
        time=time,
        blocks={CATEGORIES: category_block(definition, clean)} if categories else {},
    )
    rows, dropped = valid_rows(observations, breaks, definition.window.length, problem.admits_missing)
    groups = problem.groups(clean)
    targets = known_targets(problem.targets(clean, definition.calendar), observations, breaks, as_of)
    index = SampleIndex(
        row=rows,
        time=time[rows],
        label_start=targets.label_start[rows],
        label_end=targets.label_end[rows],
        entity=observations.entity[rows],
        target=targets.values[rows],
        target_time=targets.target_time[rows],
        origin=targets.origin[rows],
        groups={name: texts[rows] for name, texts in groups.items()},
    )
    return Samples(observations=observations, index=index, length=definition.window.length), dropped


def _require_columns(clean: pd.DataFrame, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in clean.columns]
    if missing:
        raise DefinitionError(f"the data have no column {', '.join(map(repr, missing))}: there are {', '.join(map(str, clean.columns))}.")


def _in_order(clean: pd.DataFrame) -> pd.DataFrame:
    """Sorted by entity and time, index 0..n-1.

    Raises:
        ContractError: an entity has two rows of one time.
    """
    clean = clean.sort_values(["entity", "time"], kind="stable", ignore_index=True)
    twice = clean.duplicated(["entity", "time"])
    if twice.any():
        row = clean[twice].iloc[0]
        raise ContractError(f"entity {row['entity']!r} has two rows of {row['time']}: a clean batch has one row for each entity and time.")
    return clean


def _tensor(features: pd.DataFrame, observed: pd.DataFrame) -> NDArray[np.float32]:
    """float32, [rows, columns], C-contiguous."""
    values = np.empty((len(features), features.shape[1] + observed.shape[1]), dtype=np.float32)
    with np.errstate(over="ignore"):  # beyond float32: infinite, and no window holds it
        for number, name in enumerate(features.columns):
            values[:, number] = features[name].to_numpy()
        for number, name in enumerate(observed.columns):
            values[:, features.shape[1] + number] = observed[name].to_numpy()
    return values
