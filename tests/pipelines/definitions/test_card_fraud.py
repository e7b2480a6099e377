"""The features of card-fraud on simulated transactions: the same bits from every view of the table, whichever way labels arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.samples import Samples
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.features.panel import Outcomes
from finflow.pipelines.lake.as_of import latest_revisions, read_as_of
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.leakage.data import changed_columns, worlds_without_future
from finflow.pipelines.leakage.models import peeking_candidates
from finflow.pipelines.problems.outcome import Outcome
from finflow.pipelines.samples.windows import build_samples, task_of

SMALL = {"customers": 120, "terminals": 150, "days": 60, "fraud": 0.02, "seed": 2}


def card_fraud(**changes: Any) -> Definition:
    values = load_definition("card-fraud").model_dump(mode="json")
    values["problem"] |= changes.pop("problem", {})
    return parse_definition({**values, **changes})


def source(**changes: Any) -> dict[str, Any]:
    return {"kind": "card_transactions", **SMALL, **changes}


def up_to(samples: Samples, moment: np.datetime64) -> list[np.ndarray]:
    """What was observed up to an instant, as bytes: entities, times, numbers (every NaN alike) and codes."""
    observations = samples.observations
    kept = observations.time <= moment
    values = np.asarray(observations.values)[kept]
    names = np.asarray(observations.entities, dtype=object)[observations.entity[kept]]
    codes = observations.blocks["categories"][kept]
    return [names, observations.time[kept], np.where(np.isnan(values), np.float32(-1e30), values).view(np.int32), codes]


def assert_same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    assert all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))
    assert len(left[0]) > 1000


def test_the_same_bits_in_batch_and_from_the_table_as_it_was_at_a_row() -> None:
    made = card_fraud(source=source())
    rows = made.source.read()
    whole = build_samples(made, rows)
    for moment in rows["time"].sample(5, random_state=1):
        then = rows[rows["time"] <= moment]
        later = then["reported_at"] > moment
        assert later.any()
        then = then.assign(fraud=then["fraud"].mask(later), reported_at=then["reported_at"].mask(later))
        assert_same(up_to(whole, moment.to_datetime64()), up_to(build_samples(made, then), moment.to_datetime64()))
    frauds = np.asarray(whole.observations.values)[:, whole.column("terminal_frauds_30")]
    assert frauds.max() >= 3, "there is something to see"


@pytest.mark.parametrize("column", ["reported_at", "known_at"])
def test_the_same_bits_where_labels_come_as_revisions_of_their_rows(column: str) -> None:
    made = card_fraud(source=source(revisions=True), problem={"known_column": column})
    rows = made.source.read()
    whole = build_samples(made, latest_revisions(rows))
    labelled = card_fraud(source=source())
    if column == "reported_at":
        assert_same(
            up_to(whole, np.datetime64("2025-01-01")), up_to(build_samples(labelled, labelled.source.read()), np.datetime64("2025-01-01"))
        )
    for date in ("2024-02-01", "2024-02-20"):
        as_of = pd.Timestamp(date, tz="UTC") + pd.Timedelta(days=1, hours=1)
        view = latest_revisions(rows[rows["known_at"] <= as_of])
        end = np.datetime64(date) + np.timedelta64(1, "D") - np.timedelta64(1, "s")
        view = view[view["time"] <= end]
        assert_same(up_to(whole, end), up_to(build_samples(made, view), end))


def test_a_night_brings_new_rows_and_the_labels_that_became_known(home: Home) -> None:
    first, second = card_fraud(source=source(days=20)), card_fraud(source=source(days=21))
    assert ingest(open_context(first, home)).added == len(first.source.read())
    assert ingest(open_context(first, home)).added == 0
    before, after = first.source.read(), second.source.read()
    told = after["reported_at"].notna().sum() - before["reported_at"].notna().sum()
    fresh = after["time"] >= "2024-01-21"
    known_fresh = after["reported_at"][fresh].notna().sum()
    now = pd.Timestamp("2024-01-22 02:00", tz="UTC")
    assert ingest(open_context(second, home), now=now).added == fresh.sum() + told - known_fresh
    view = read_as_of(Lake(home.lake), "raw/card-fraud", now)
    assert view["fraud"].notna().sum() == after["fraud"].notna().sum()
    assert view["reported_at"].dtype.kind == "M"


def test_a_key_that_holds_the_outcome_is_refused() -> None:
    values = load_definition("card-fraud").model_dump(mode="json")
    values["features"].append({"kind": "count_before", "key": "fraud", "days": 1})
    with pytest.raises(DefinitionError, match="fraud is known only after the outcome"):
        parse_definition(values)


def test_rows_without_a_label_are_scored_and_not_quarantined(home: Home) -> None:
    made = card_fraud(source=source(days=20))
    rows = made.source.read()
    as_of = pd.Timestamp("2024-01-21 01:00", tz="UTC")
    clean = validate(open_context(made, home), ingest(open_context(made, home)), as_of)
    assert clean.quarantined == 0
    samples = build_samples(made, read_as_of(Lake(home.lake), clean.table, as_of, clean.version), as_of)
    assert len(samples) == len(rows)
    assert 0 < samples.index.labelled.sum() < len(samples)


def test_a_feature_that_counts_outcomes_before_they_were_known_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    made = card_fraud(source=source())
    rows = made.source.read().sort_values(["entity", "time"], ignore_index=True)
    cut = np.datetime64("2024-02-10")
    for world in worlds_without_future(made, rows, cut, 0):
        assert changed_columns(build_samples(made, rows), world) == ()
    monkeypatch.setattr(Outcome, "outcomes", lambda _, clean: Outcomes(clean["fraud"].to_numpy(), clean["time"].to_numpy("datetime64[ns]")))
    for world in worlds_without_future(made, rows, cut, 0):
        assert "terminal_rate_7" in changed_columns(build_samples(made, rows), world)


def test_no_model_is_said_to_peek_for_what_noise_says_of_later_rows() -> None:
    made = card_fraud(
        source=source(fraud=0.05),
        candidates={"logistic": {"model": "tabular_logistic", "settings": {"c": 0.1, "calibration": {"method": "none"}}}},
        baselines={"class-frequency": {"model": "class_frequency"}},
    )
    rows = made.source.read()
    samples = build_samples(made, rows)
    task = task_of(made, samples.columns)
    world = worlds_without_future(made, rows, np.datetime64("2024-02-10"), 0)[0]
    later = world.samples.index.time.astype("datetime64[D]") > world.cut
    assert (world.samples.index.label_end[later].astype("datetime64[D]") <= world.cut).any()
    assert peeking_candidates(made, samples, world, task) == {}
