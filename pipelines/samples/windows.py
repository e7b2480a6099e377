"""Samples: clean rows become one tensor of observations and the index of its valid windows. No window is ever materialised."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.base import Task
from finflow.models.samples import Observations, SampleIndex, Samples
from finflow.pipelines.core.code import sample_code_digest
from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import NotEnoughHistoryError
from finflow.pipelines.core.manifests import CleanManifest, SampleManifest
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.lake.as_of import latest_known, read_revisions
from finflow.pipelines.samples.features import categorical_features, feature_reach, numeric_features
from finflow.pipelines.samples.observed import Observed, observe
from finflow.pipelines.samples.revisions import earlier_versions, revisions_read, with_versions, with_withdrawn
from finflow.pipelines.samples.rows import Dropped, known_targets, spread_targets, valid_rows
from finflow.pipelines.samples.store import is_complete, open_samples, read_facts, write_samples

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

__all__ = ["build_samples", "open_samples", "store_samples", "task_of"]


@dataclass(frozen=True, eq=False)
class KnownRows:
    """Clean rows as they are known.

    Attributes:
        latest: of each entity and time the latest revision, sorted by them, index 0..n-1.
        revisions: every revision, sorted by entity, time and known_at.
    """

    latest: pd.DataFrame
    revisions: pd.DataFrame


def build_samples(
    definition: Definition, clean: pd.DataFrame, as_of: pd.Timestamp | None = None, revisions: pd.DataFrame | None = None
) -> Samples:
    """Every sample that the clean rows hold, labelled or not, entity after entity in time order.

    Targets, and the level that they start from, are made of the clean rows. What a sample observes was known at its own instant: the
    publication of its session, or the arrival of the first revision of its row where that came later.

    Args:
        clean: `entity`, `time`, and the columns that features and problem read; any order.
        as_of: an instant; a label that ends on a later date counts as not known yet. None: every label in the rows is known.
        revisions: every revision of these rows, with `known_at`, the latest of each among them; any order. None: every sample observes the
            clean rows as they are.

    Returns:
        float32 observations [rows + versions, features + the problem's own columns]; the index may be empty.

    Raises:
        DefinitionError: a column is missing, or a feature has the name of one of the problem's own columns.
        ContractError: an entity has two rows of one time.
    """
    return _build(definition, clean, as_of, revisions)[0]


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
        known = known_rows(context, clean)
        samples, dropped = _build(definition, known.latest, pd.Timestamp(clean.as_of), known.revisions)
        require_samples(definition, samples, dropped)
        facts: dict[str, Any] = {
            "observations": samples.observations.rows,
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
    """The rows that the samples of a clean batch are labelled by, the latest revision of each, sorted by entity and time.

    Raises:
        StateError: there is no such table or version.
    """
    return known_rows(context, clean).latest


def known_rows(context: Context, clean: CleanManifest) -> KnownRows:
    """Every revision of a clean batch, and the latest of each row: what `build_samples` takes.

    Raises:
        StateError: there is no such table or version.
    """
    revisions = read_revisions(context.lake, clean.table, pd.Timestamp(clean.as_of), clean.version)
    return KnownRows(latest_known(revisions, outcome=outcome_column(context.definition)), revisions)


def outcome_column(definition: Definition) -> str | None:
    """The column of the outcome, where the problem has one."""
    found = problem_of(definition).outcome_values
    return None if found is None else found[0]


def count_dropped(definition: Definition, clean: pd.DataFrame, revisions: pd.DataFrame | None = None) -> Dropped:
    """How many rows end no sample, and why."""
    return _build(definition, clean, None, revisions)[1]


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
    longest = int(np.diff(samples.observations.first).max()) if samples.observations.rows else 0
    count, length = samples.observations.rows, definition.window.length
    raise NotEnoughHistoryError(
        f"{definition.name}: no window of {length} observations can be cut from {count:,} clean rows (the longest entity has {longest:,}): "
        f"{dropped.sentence}. The first labelled sample needs {needed_history(definition)} observations of one entity; give more history, "
        "or lower window.length or a feature's window."
    )


def _build(
    definition: Definition, clean: pd.DataFrame, as_of: pd.Timestamp | None, revisions: pd.DataFrame | None
) -> tuple[Samples, Dropped]:
    problem, length = problem_of(definition), definition.window.length
    base = observe(definition, clean)
    observations, breaks = _observations(base), base.columns.breaks
    groups = problem.groups(base.rows)
    targets = known_targets(problem.targets(base.rows, definition.calendar), observations, breaks, as_of)
    read = revisions_read(definition, base, revisions)
    if read is not None:
        every, place = with_withdrawn(definition, base, read)
        count, withdrawn = len(every.time), np.ones(len(every.time), dtype=bool)
        withdrawn[place] = False
        observations, breaks = _observations(every), every.columns.breaks
        targets = spread_targets(targets, place, count)
        groups = {name: _spread_texts(texts, place, count) for name, texts in groups.items()}
        earlier = earlier_versions(definition, every, read, withdrawn)
        if earlier is not None:
            observations = with_versions(observations, earlier)
            breaks = np.concatenate([breaks, earlier.columns.breaks])
    rows, dropped = valid_rows(observations, breaks, length, problem.admits_missing)
    index = SampleIndex(
        row=rows,
        time=observations.time[rows],
        label_start=targets.label_start[rows],
        label_end=targets.label_end[rows],
        entity=observations.entity[rows],
        target=targets.values[rows],
        target_time=targets.target_time[rows],
        origin=targets.origin[rows],
        groups={name: texts[rows] for name, texts in groups.items()},
    )
    return Samples(observations=observations, index=index, length=length), dropped


def _observations(base: Observed) -> Observations:
    return Observations(
        values=base.columns.values,
        columns=base.columns.names,
        entities=tuple(str(name) for name in base.rows["entity"].to_numpy()[base.first[:-1]]),
        first=base.first,
        time=base.time,
        blocks=base.columns.blocks,
    )


def _spread_texts(texts: NDArray[np.str_], place: NDArray[np.int64], rows: int) -> NDArray[np.str_]:
    found = np.full(rows, "", dtype=texts.dtype)
    found[place] = texts
    return found
