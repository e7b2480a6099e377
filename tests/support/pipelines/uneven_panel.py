"""A panel of simulated symbols of which some begin late, some end early and some have a gap: its definition, and what must hold of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import Samples
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.samples.features import feature_reach
from tests.support import tiny_values


def panel_values(entities: int, days: int, special: int, **changes: Any) -> dict[str, Any]:
    """The first `special` symbols begin late, the next end early, the next have a gap of 20 sessions."""
    spans = {"late_starts": special, "early_ends": special, "gaps": special, "gap_length": 20, "within": days * 6 // 7}
    values = tiny_values(
        name="panel",
        title="A panel of simulated symbols",
        source={
            "kind": "simulated",
            "process": "autoregressive",
            "entities": entities,
            "days": days,
            "start": "2015-01-05",
            "seed": 3,
            **spans,
        },
        baselines={name: {"model": name.replace("-", "_")} for name in ("random-walk", "historical-mean", "ridge")},
        seeds=1,
    )
    return {**values, **changes}


def check_samples(definition: Definition, rows: pd.DataFrame, samples: Samples) -> None:
    """No window and no label crosses a symbol or a gap, and every window that does not is there.

    Args:
        rows: entity, time; what the source has, in any order.
    """
    assert definition.calendar is not None
    calendar = sessions(definition.calendar, rows["time"].min(), rows["time"].max()).to_numpy().astype("datetime64[D]")
    places = {
        str(entity): np.sort(np.searchsorted(calendar, own["time"].to_numpy().astype("datetime64[D]")))
        for entity, own in rows.groupby("entity", observed=True)
    }
    needed = definition.window.length + feature_reach(definition)
    wanted = {(name, int(place)) for name, own in places.items() for place in _ends(own, needed, definition.window.maximum_gap)}
    names = np.array(samples.observations.entities, dtype=object)[samples.index.entity]
    session = np.searchsorted(calendar, samples.index.time.astype("datetime64[D]"))
    assert set(zip(names.tolist(), session.tolist(), strict=True)) == wanted
    assert len(samples) == len(wanted)
    first = samples.observations.first
    begin = samples.index.row - samples.length + 1
    assert (begin >= first[samples.index.entity]).all()
    assert (samples.index.row < first[samples.index.entity + 1]).all()
    times = np.searchsorted(calendar, samples.observations.time.astype("datetime64[D]"))
    span = times[samples.index.row] - times[begin]
    assert (span == samples.length - 1).all(), "a gap of 20 sessions is forbidden, and there is no shorter one"
    labelled = samples.index.labelled
    ahead = np.searchsorted(calendar, samples.index.label_end[labelled].astype("datetime64[D]")) - session[labelled]
    assert (ahead == definition.window.horizon).all()


def expected_symbols(definition: Definition, rows: pd.DataFrame, date: str) -> set[str]:
    """The symbols that have a full window at a date."""
    needed = definition.window.length + feature_reach(definition)
    assert definition.calendar is not None
    calendar = sessions(definition.calendar, rows["time"].min(), pd.Timestamp(date))
    last = rows[rows["time"].isin(calendar[-needed:].as_unit("us"))]
    counts = last.groupby("entity", observed=True).size()
    return {str(name) for name in counts.index[counts == needed]}


def _ends(places: NDArray[np.int64], needed: int, gap: int) -> NDArray[np.int64]:
    """Sessions that end `needed` observations with no forbidden gap among them."""
    runs = np.split(places, np.flatnonzero(np.diff(places) - 1 > gap) + 1)
    return np.concatenate([run[needed - 1 :] for run in runs])
