"""Walking forward with real models: what each period's model knew, the same answers whatever range is asked for, nothing done twice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.result import BackfillResult
from finflow.pipelines.backfill.run import backfill, plan_backfill, show_plan
from finflow.pipelines.backfill.walk_periods import periods
from finflow.pipelines.core.errors import FitError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.lake.promotions import Promotions
from finflow.pipelines.lake.walks import WalkRecord
from finflow.pipelines.tracking.store import prepare_store, store_client
from tests.support import tiny_values
from tests.support.patching import replace_everywhere

START, END = "2017-01-03", "2017-06-30"


def walked(**changes: Any) -> Definition:
    """The tiny definition without a network, whose first test period is early enough for challenges."""
    values = tiny_values(
        candidates={"ridge": {"model": "ridge"}},
        baselines={"random-walk": {"model": "random_walk"}, "historical-mean": {"model": "historical_mean"}},
        source={
            "kind": "simulated",
            "process": "random_walk",
            "entities": 2,
            "days": 700,
            "volatility": 0.01,
            "start": "2015-01-05",
            "seed": 3,
        },
        **changes,
    )
    return parse_definition(values)


@dataclass(frozen=True)
class Place:
    definition: Definition
    home: Home

    def clean(self, end: str) -> CleanManifest:
        as_of = published(self.definition, pd.DatetimeIndex([end]))[0]
        return validate(self.context, ingest(self.context), as_of)

    @property
    def context(self) -> Context:
        return open_context(self.definition, self.home)

    def run(self, start: str = START, end: str = END, **options: Any) -> BackfillResult:
        return backfill(self.context, BackfillRequest(start, end, **{"retrain": "quarterly", **options}), self.clean(end))

    def rows(self) -> pd.DataFrame:
        rows = Predictions(Lake(self.home.lake), "tiny").read().drop(columns=["scored_at", "backfill_id"])
        return rows.sort_values(["time", "entity", "horizon", "version"], ignore_index=True)

    def days(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(Lake(self.home.lake).read("raw/tiny", columns=["time"])["time"].unique()).sort_values()

    @property
    def record(self) -> WalkRecord:
        return WalkRecord(Lake(self.home.lake), "tiny", "quarterly")


def home_at(root: Path) -> Home:
    home = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)
    prepare_store(home)
    return home


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, BackfillResult, dict[str, Any]]:
    """Half a year walked by quarters, and the dry run before it."""
    place = Place(walked(), home_at(tmp_path_factory.mktemp("walk")))
    shown = show_plan(place.context, BackfillRequest(START, END, retrain="quarterly"), clean=place.clean(END))
    return place, place.run(), shown


def test_the_dry_run_names_the_trainings(once: tuple[Place, BackfillResult, dict[str, Any]]) -> None:
    place, _, shown = once
    trained = [row.version for row in place.record.rows()]
    assert len(shown["trainings"]) == len(trained) > 0
    assert f"before them {len(trained)} trainings, of the periods from {shown['trainings'][0]}" in shown["summary"]
    after = show_plan(place.context, BackfillRequest(START, END, retrain="quarterly"), clean=place.clean(END))
    assert after["trainings"] == []


def test_each_quarter_is_answered_by_a_model_that_knew_only_what_came_before(once: tuple[Place, BackfillResult, Any]) -> None:
    place, result, _ = once
    assert result.ok
    assert result.counts == {"done": len(result.dates)}
    rows = place.rows()
    assert not rows["in_sample"].any(), "no row of a walk is in-sample"
    made = {row.version: row for row in place.record.rows() if row.version is not None}
    by_quarter = rows.groupby(rows["time"].dt.to_period("Q"))["version"].unique()
    assert [len(versions) for versions in by_quarter] == [1, 1]
    for quarter, versions in by_quarter.items():
        trained = pd.Timestamp(made[versions[0]].effective_as_of)
        days = place.days()
        assert trained == published(place.definition, days[days < quarter.start_time][-1:])[0]
        assert trained < quarter.start_time.tz_localize("UTC")
    assert {row.run_key for row in made.values()} <= {period.key for period in found_periods(place)}


def found_periods(place: Place) -> list[Any]:
    return periods(place.context, place.clean(END).raw, "quarterly", END)


def test_the_dry_run_says_what_then_runs(once: tuple[Place, BackfillResult, dict[str, Any]]) -> None:
    _, result, shown = once
    assert shown["will_run"] == [one.date for one in result.dates if one.in_sample is not None]
    assert shown["counts"] == {"missing": len(result.dates)}


def test_the_walk_is_apart_from_the_live_decisions(once: tuple[Place, BackfillResult, Any]) -> None:
    place, result, _ = once
    assert Promotions(Lake(place.home.lake), "tiny").rows() == []
    client = store_client(place.home)
    versions = client.search_model_versions("name = 'tiny'")
    assert sorted(version.tags["finflow.walk_period"] for version in versions) == ["2017-01-01", "2017-04-01"]
    assert {version.tags["finflow.walk"] for version in versions} == {"quarterly"}
    assert client.get_registered_model("tiny").aliases == {}
    rows = place.record.rows()
    # first_test is July 2016: the quarter that begins in October leads in, decides, and registers nothing
    assert [(row.effective_as_of[:10], row.version is None) for row in rows] == [
        ("2016-09-30", True),
        ("2016-12-30", False),
        ("2017-03-31", False),
    ]
    assert rows[0].verdict in ("reference", "promoted")
    assert all(row.moves for row in rows)
    assert result.model == "retrain-quarterly"
    assert "(retrain-quarterly)" in result.summary
    assert set(Lake(place.home.lake).read("ledger/tiny")["selector"]) == {"retrain-quarterly"}


def test_a_second_run_fits_nothing_and_trains_nothing(once: tuple[Place, BackfillResult, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    place, _, _ = once
    replace_everywhere(
        monkeypatch, "finflow.pipelines.backfill.walk_forward.train_period", lambda *given: pytest.fail("everything is trained")
    )
    before = fits(place.home)
    again = place.run()
    assert (again.written, again.will_run) == (0, 0)
    everything = place.run(only="all")
    assert everything.written == 0
    assert fits(place.home) == before


def fits(home: Home) -> set[str]:
    return {path.name for path in home.fits.iterdir()}


@pytest.fixture
def copy(once: tuple[Place, BackfillResult, Any], tmp_path: Path) -> Place:
    """The walked home, for a test to write to; its MLflow store starts empty."""
    place, _, _ = once
    root = tmp_path / "copy"
    shutil.copytree(place.home.root, root, ignore=shutil.ignore_patterns("mlflow"))
    return Place(place.definition, home_at(root))


@pytest.mark.slow
def test_a_range_gives_the_rows_that_a_longer_one_gives(once: tuple[Place, BackfillResult, Any], tmp_path: Path) -> None:
    """Only the later quarter, in a fresh home: the same decisions lead to it."""
    place, _, _ = once
    fresh = Place(place.definition, home_at(tmp_path / "fresh"))
    shutil.copytree(place.home.fits, fresh.home.fits)
    fresh.run("2017-05-01", END)
    late = place.rows()
    late = late[late["time"] >= pd.Timestamp("2017-05-01")].reset_index(drop=True)
    pd.testing.assert_frame_equal(fresh.rows().drop(columns="version"), late.drop(columns="version"))
    told = [[(row.run_key, row.verdict, row.candidate) for row in one.record.rows()] for one in (place, fresh)]
    assert told[0] == told[1]


@pytest.mark.slow
def test_killed_between_two_quarters_it_goes_on(
    once: tuple[Place, BackfillResult, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _, _ = once
    broken = Place(place.definition, home_at(tmp_path / "broken"))
    shutil.copytree(place.home.fits, broken.home.fits)
    original = WalkRecord.append

    def dies(self: WalkRecord, row: Any) -> Any:
        if row.effective_as_of.startswith("2017-03"):
            raise KeyboardInterrupt
        return original(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(WalkRecord, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            broken.run()
    assert len(broken.record.rows()) == 2
    assert broken.run().ok
    pd.testing.assert_frame_equal(broken.rows(), place.rows())
    assert len(store_client(broken.home).search_model_versions("name = 'tiny'")) == 2, "what was registered for it is used"


def test_a_quarter_that_cannot_be_trained_fails_with_those_after_it(copy: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    import finflow.pipelines.backfill.walk_forward as walk

    original = walk.train_period

    def train(context: Context, step: Any) -> Any:
        if step.period.start == "2017-07-01":
            raise FitError("ridge fold 2017-01: no luck.")
        return original(context, step)

    with monkeypatch.context() as patch:
        patch.setattr(walk, "train_period", train)
        result = copy.run("2017-06-29", "2017-07-06")
    states = {one.date: (one.before, one.after) for one in result.dates}
    assert states["2017-06-30"] == ("done", "done")
    assert {states[date] for date in ("2017-07-03", "2017-07-05", "2017-07-06")} == {("missing", "failed")}
    assert not result.ok
    shown = show_plan(
        copy.context, BackfillRequest("2017-06-29", "2017-07-06", retrain="quarterly"), mode="status", clean=copy.clean("2017-07-06")
    )
    reasons = {one["date"]: one["reason"] for one in shown["dates"]}
    assert reasons["2017-07-06"] == "no model could be trained as of 2017-06-30: ridge fold 2017-01: no luck."


def test_dates_before_the_walk_begins_have_no_model(copy: Place) -> None:
    clean = copy.clean("2016-12-30")
    plan = plan_backfill(copy.context, BackfillRequest("2016-06-30", "2016-10-04", retrain="quarterly"), clean=clean)
    states = {one.date: (one.before, one.run) for one in plan.dates}
    assert states["2016-06-30"] == states["2016-09-30"] == ("no-model", False)
    assert states["2016-10-03"] == ("missing", True), "decided, not yet registered"
    assert "folds.first_test, 2016-07-01" in plan.dates[0].reason


def test_another_definition_is_another_walk(copy: Place) -> None:
    other = Place(walked(seed=9), copy.home)
    plan = plan_backfill(other.context, BackfillRequest(START, END, retrain="quarterly", only="stale"), clean=other.clean(END))
    assert {one.before for one in plan.dates} == {"stale"}
    assert plan.untrained == tuple(one.date for one in plan.dates)
    assert plan.dates[0].reason.endswith("answered; the model of its period is to be trained again")
