"""Pruning: what anything kept needs stays, what nobody needs goes, and a prune that is killed goes on."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.flows.command_line.pages import prune as page
from finflow.flows.command_line.pages import readable
from finflow.pipelines.core.errors import ConflictError, FinflowError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.fits.needs import TRAINING, RunNeeds, _write, add_fits, read_needs, record_needs
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import PromotionRow, Promotions
from finflow.pipelines.operating.approval import reject
from finflow.pipelines.operating.pruning.folders import Waste, size_of
from finflow.pipelines.operating.pruning.needs import ALWAYS, RetentionRule
from finflow.pipelines.operating.pruning.run import prune
from finflow.pipelines.operating.pruning.tables import kept_versions
from finflow.pipelines.registry.versions import load_version
from finflow.pipelines.tracking.store import prepare_store, store_client
from tests.support import Finflow, left_by_a_killed_process
from tests.support.pipelines.fit_support import planned
from tests.support.pipelines.training_support import RECIPES, Trained

NOW = pd.Timestamp.now("UTC")
LATER = (NOW + pd.Timedelta(days=3)).isoformat()


# Rules


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("90d", RetentionRule(days=90)),
        (" 1d ", RetentionRule(days=1)),
        ("20-runs", RetentionRule(runs=20)),
        ("1-run", RetentionRule(runs=1)),
    ],
)
def test_rules(text: str, rule: RetentionRule) -> None:
    assert RetentionRule.parse(text) == rule


@pytest.mark.parametrize("text", ["", "0d", "0-runs", "90", "d", "-1d", "90 days", "1.5d", "20runs", "9999999d", "all\n"])
def test_what_is_no_rule(home: Home, text: str) -> None:
    with pytest.raises(FinflowError, match="is no rule: write an age such as 90d, or a number of runs such as 20-runs"):
        prune(home, text, delete=True)
    assert not home.root.exists()


def test_cutoffs() -> None:
    days = [pd.Timestamp(f"2024-01-{day:02d}", tz="UTC") for day in (3, 1, 2)]
    assert RetentionRule(runs=2).cutoff(days, NOW) == days[2]
    assert RetentionRule(runs=3).cutoff(days, NOW) == ALWAYS
    assert RetentionRule(runs=1).cutoff([], NOW) == ALWAYS
    assert RetentionRule(days=10).cutoff(days, days[0]) == pd.Timestamp("2023-12-24", tz="UTC")


def test_versions_of_a_table_that_stay() -> None:
    versions = {number: pd.Timestamp(f"2024-01-{number + 1:02d}", tz="UTC") for number in range(6)}
    assert kept_versions(versions, {1, 99}, versions[4]) == [1, 3, 4, 5], "recorded, current at the time, since then"
    assert kept_versions(versions, set(), pd.Timestamp("2025-01-01", tz="UTC")) == [5]
    assert kept_versions(versions, set(), ALWAYS) == list(range(6))
    assert kept_versions({}, {1}, ALWAYS) == []


def test_bytes_in_words() -> None:
    assert [readable(size) for size in (0, 999, 1000, 2_500_000, 7e12)] == ["0 bytes", "999 bytes", "1.0 kB", "2.5 MB", "7,000.0 GB"]


# The lake


def rewritten(lake: Lake, table: str, versions: int) -> None:
    """Version v holds the number v and nothing else."""
    for number in range(versions):
        lake.replace(table, pd.DataFrame({"number": [number], "period": ["2024-01"]}), "period = '2024-01'")


def test_kept_versions_of_a_table_are_readable_and_others_are_named(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    rewritten(lake, "clean/a", 6)
    keep = [1, 3, 5]
    files = lake.unneeded_files("clean/a", keep)
    assert len(files) == 3
    assert all((tmp_path / "lake/clean/a" / name).stat().st_size == size > 0 for name, size in files.items())
    lake.vacuum("clean/a", keep)
    for version in (1, 3, 5):
        assert lake.read("clean/a", version=version)["number"].tolist() == [version]
    for version in (0, 2, 4):
        with pytest.raises(StateError, match=rf"version {version} of the table .*clean/a/? has lost files: `finflow prune` freed"):
            lake.read("clean/a", version=version)
    assert lake.read("clean/a")["number"].tolist() == [5]
    assert lake.unneeded_files("clean/a", keep) == {}
    rewritten(lake, "clean/a", 1)
    assert lake.read("clean/a")["number"].tolist() == [0], "it can still be written"


def test_a_version_written_meanwhile_stays(tmp_path: Path) -> None:
    """Between finding and freeing others go on writing: what they read and wrote stays."""
    lake = Lake(str(tmp_path / "lake"))
    rewritten(lake, "clean/a", 3)
    keep = [1, 2]
    rewritten(lake, "clean/a", 3)
    lake.vacuum("clean/a", keep)
    for version, number in ((1, 1), (2, 2), (3, 0), (4, 1), (5, 2)):
        assert lake.read("clean/a", version=version)["number"].tolist() == [number]


# A real training, several times


def train(trained: Trained, run_key: str, seed: int, gate: dict[str, Any] | None = None) -> list[str]:
    """One training with fits of its own; the keys of all of them."""
    from finflow.pipelines.fits.fits import carry_out_all

    definition = trained.definition
    if gate:
        definition = definition.model_copy(update={"gate": definition.gate.model_copy(update=gate)})
    specs = planned(definition, trained.home, trained.samples, {"noisy": RECIPES["noisy"]}, (seed,))
    plan = replace(trained.plan(run_key), specs=specs)
    record_needs(trained.home, "tiny", run_key, [spec.key for spec in specs], plan.samples, TRAINING)
    carry_out_all(specs, trained.home)
    template = trained.home.root / "template"
    if not template.exists():
        shutil.copytree(trained.evaluation.folder, template)
    shutil.copytree(template, trained.home.evaluations / run_key)
    conclude = replace(trained, evaluation=replace(trained.evaluation, folder=str(trained.home.evaluations / run_key)))
    conclude.conclude(run_key, definition)
    found = next(needs for needs in read_needs(trained.home) if needs.run_key == run_key)
    return list(found.fits)


def there(home: Home, kind: str) -> set[str]:
    return {path.name for path in (home.root / kind).glob("[!.]*")}


def artifacts(home: Home) -> dict[str, int]:
    """Bytes of each MLflow run's files, by run key and name."""
    client = store_client(home)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return {
        f"{run.data.tags['finflow.run_key']} {run.info.run_name}": size_of(Path(run.info.artifact_uri.removeprefix("file://")))
        for run in runs
        if "finflow.run_key" in run.data.tags
    }


def test_of_three_trainings_the_newest_and_what_serves_stay(trained: Trained) -> None:
    home, promotions = trained.home, Promotions(Lake(trained.home.lake), "tiny")
    first, second, third = (train(trained, key, seed) for key, seed in (("one", 11), ("two", 12), ("three", 13)))
    assert [row.verdict for row in promotions.rows()] == ["reference", "kept", "kept"]
    before = artifacts(home)

    nothing = prune(home, "3-runs", delete=True, now=LATER)
    assert {one.kind for one in nothing.freed} <= {"fits", "evaluations"}, "fits of no run, and an evaluation without a record"
    planned_ = prune(home, "1-run", delete=False, now=LATER)
    assert not planned_.deleted
    assert artifacts(home) == before
    assert {"fits", "run artifacts"} <= {one.kind for one in planned_.freed}
    assert page(planned_.to_dict())[-1] == "Nothing was deleted. To do it: finflow prune --keep 1-run --yes"

    said: list[Any] = []
    done = prune(home, "1-run", delete=True, say=said.append, now=LATER)
    assert said == [done]
    assert replace(done, deleted=False) == planned_
    assert set(first) <= there(home, "fits"), "the champion's"
    assert set(third) <= there(home, "fits"), "the newest run's"
    assert not (set(second) - set(first) - set(third)) & there(home, "fits")
    assert there(home, "evaluations") == {"one", "three"}
    assert {path.removesuffix(".json") for path in there(home, "runs")} == {"one", "three"}
    after = artifacts(home)
    assert {name: size for name, size in after.items() if not name.startswith("two")} == {
        name: size for name, size in before.items() if not name.startswith("two")
    }
    assert {name: size for name, size in after.items() if name.startswith("two")} == {name: 0 for name in before if name.startswith("two")}
    client = store_client(home)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (parent,) = client.search_runs(
        [experiment.experiment_id], filter_string="tags.`finflow.run_key` = 'two' and tags.`finflow.role` = 'parent'"
    )
    assert parent.data.metrics, "the run itself stays, with its numbers"
    assert "finflow.pruned" in parent.data.tags
    assert load_version(trained.context, 1).version == 1
    assert [row.run_key for row in promotions.rows()] == ["one", "two", "three"]
    assert prune(home, "1-run", delete=True, now=LATER).freed == ()


def test_versions_that_nobody_can_call_for_go(trained: Trained) -> None:
    home, promotions = trained.home, Promotions(Lake(trained.home.lake), "tiny")
    asking = {"approval": "required"}
    for number, key in enumerate(("one", "two", "three")):
        train(trained, key, 11 + number, asking)
    assert [row.verdict for row in promotions.rows()] == ["pending"] * 3
    client = store_client(home)
    prune(home, "1-run", delete=True, now=LATER)
    assert {int(version.version) for version in client.search_model_versions("name = 'tiny'")} == {3}, "the others were superseded"
    assert load_version(trained.context, 3).version == 3
    reject(trained.context, 3, "Ann", "no")
    train(trained, "four", 14, asking)
    prune(home, "1-run", delete=True, now=LATER)
    assert {int(version.version) for version in client.search_model_versions("name = 'tiny'")} == {4}
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert len(client.search_logged_models([experiment.experiment_id])) == 1


def test_versions_that_a_decision_names_stay_though_their_run_does_not(trained: Trained) -> None:
    """The period of a walk, whose run is long past: a backfill of the same range loads its version, and fits nothing."""
    from finflow.pipelines.lake.walks import WalkRecord

    home = trained.home
    lake = Lake(home.lake)
    for number, key in enumerate(("one", "two")):
        train(trained, key, 11 + number, {"approval": "required"})
    (row, _) = Promotions(lake, "tiny").rows()
    lake.append("walk-monthly/tiny", lake.read("promotions/tiny", where="sequence = 1").assign(verdict="refreshed"))
    assert WalkRecord(lake, "tiny", "monthly").rows()[0].version == row.version == 1
    prune(home, "1-run", delete=True, now=LATER)
    found = store_client(home).search_model_versions("name = 'tiny'")
    assert {int(version.version) for version in found} == {1, 2}
    assert load_version(trained.context, 1).version == 1
    assert artifacts(home)["one random-walk"] == 0


def test_what_is_young_stays_whatever_the_rule(trained: Trained) -> None:
    home = trained.home
    for number, key in enumerate(("one", "two")):
        train(trained, key, 11 + number)
    shutil.copytree(home.fits / next(iter(there(home, "fits"))), home.fits / "somebody-fits-this-now")
    assert prune(home, "1-run", delete=True).freed == ()
    assert "somebody-fits-this-now" in there(home, "fits")


def test_a_run_without_a_record_keeps_all_fits(trained: Trained) -> None:
    home = trained.home
    train(trained, "one", 11)
    train(trained, "two", 12)
    (home.runs / "one.json").unlink()
    before = there(home, "fits")
    done = prune(home, "1-run", delete=True, now=LATER)
    assert there(home, "fits") == before
    assert "did not record what it needs" in page(done.to_dict())[-1]


def test_two_at_once(home: Home) -> None:
    from filelock import FileLock

    home.root.mkdir()
    with FileLock(home.root / "prune.lock"), pytest.raises(FinflowError, match="another `finflow prune` is at work"):
        prune(home, "1-run", delete=False)


# Records


def test_records_of_what_a_run_needs(trained: Trained) -> None:
    plan = trained.plan("one")
    keys = [spec.key for spec in plan.specs]
    record_needs(trained.home, "tiny", "one", keys, plan.samples, TRAINING)
    add_fits(trained.home, "one", ["a", "b"])
    add_fits(trained.home, "one", ["b"])
    add_fits(trained.home, "unknown", ["c"])
    (needs,) = read_needs(trained.home)
    assert (needs.fits, needs.tables) == (("a", "b"), {"clean/tiny": 0, "raw/tiny": 0})
    record_needs(trained.home, "tiny", "one", keys, plan.samples, TRAINING)
    (again,) = read_needs(trained.home)
    assert again.fits == ("a", "b"), "production's are not forgotten by planning again"
    assert again.at > needs.at
    (trained.home.runs / "one.json").write_text("{")
    (trained.home.runs / "two.json").write_text(json.dumps({"format": 99}))
    assert read_needs(trained.home) == []


# Any history


class Story:
    """A home with a history drawn by chance: runs, fits, samples, tables, decisions. Folders hold a byte each; tables are real."""

    def __init__(self, home: Home, seed: int) -> None:
        self.home, self.random = home, np.random.default_rng(seed)
        self.lake = Lake(home.lake)
        self.promotions = Promotions(self.lake, "tiny")
        self.needs: dict[str, RunNeeds] = {}
        self.versions = 0
        for number in range(int(self.random.integers(3, 9))):
            self.run(number)

    def folder(self, kind: str, name: str, age: float) -> None:
        path = self.home.root / kind / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "content").write_text(name)
        moment = (NOW - pd.Timedelta(days=age)).timestamp()
        os.utime(path, (moment, moment))

    def run(self, number: int) -> None:
        key, age = f"run-{number}", float(200 - 20 * number - self.random.integers(0, 15))
        fits = tuple(f"fit-{int(one)}" for one in self.random.choice(12, size=4, replace=False))
        samples, validation = (f"{kind}-{int(self.random.integers(4))}" for kind in ("samples", "validation"))
        rewritten_once(self.lake, "clean/tiny", number)
        needs = RunNeeds(
            run_key=key,
            definition="tiny",
            kind=TRAINING,
            at=(NOW - pd.Timedelta(days=age)).isoformat(),
            fits=fits,
            samples=samples,
            validation=validation,
            tables={"clean/tiny": int(self.lake.version("clean/tiny") or 0)},
        )
        _write(self.home, needs)
        moment = (NOW - pd.Timedelta(days=age)).timestamp()
        os.utime(self.home.runs / f"{key}.json", (moment, moment))
        self.needs[key] = needs
        for fit in fits:
            self.folder("fits", fit, age)
        self.folder("samples", samples, age)
        self.folder("validations", validation, age)
        self.folder("evaluations", key, age)
        self.decide(key, age, needs)

    def decide(self, key: str, age: float, needs: RunNeeds) -> None:
        before = self.promotions.champion_row()
        verdict = str(self.random.choice(["promoted", "kept", "pending", "refreshed"])) if before else "reference"
        if verdict != "kept":
            self.versions += 1
        version = self.versions if verdict != "kept" else before.version  # type: ignore[union-attr]
        row = PromotionRow(
            run_key=key,
            verdict=verdict,
            candidate="ridge",
            family="ridge",
            version=version,
            previous_version=before.version if before else None,
            effective_as_of=needs.at,
            reason="by chance",
            data_version=needs.tables["clean/tiny"],
            manifest_digest=f"m{version}",
            recorded_at=needs.at,
        )
        self.promotions.record(row, self.promotions.snapshot()[1])

    def picture(self) -> dict[str, Any]:
        """All that is there: folders, rows, and which versions of the table can be read."""
        readable_ = {}
        for version in self.lake.versions("clean/tiny"):
            try:
                readable_[version] = self.lake.read("clean/tiny", version=version)["number"].tolist()
            except StateError:
                continue
        kinds = ("fits", "samples", "validations", "evaluations", "runs")
        rows = [row.to_dict() for row in self.promotions.rows()]
        return {**{kind: there(self.home, kind) for kind in kinds}, "table": readable_, "rows": rows}

    def must_stay(self, rule: str) -> set[str]:
        """The runs that stay whole, said in another way than the code says it."""
        rows = self.promotions.rows()
        newest = sorted(self.needs, key=lambda key: self.needs[key].at, reverse=True)
        if rule.endswith("d"):
            since = (NOW - pd.Timedelta(days=int(rule[:-1]))).isoformat()
            kept = {key for key in newest if self.needs[key].at >= since}
        else:
            kept = set(newest[: int(rule.partition("-")[0])])
        moved = [row for row in rows if row.moves]
        serving = {moved[-1].version, moved[-1].previous_version}
        if rows and any(row.verdict == "pending" for row in rows):
            last = max(row.sequence for row in rows if row.verdict == "pending")
            if not any(row.moves and row.sequence > last for row in rows):
                serving.add(rows[last - 1].version)
        for version in serving - {None}:
            kept.add(next(row.run_key for row in rows if row.version == version))
        return kept


def rewritten_once(lake: Lake, table: str, number: int) -> None:
    lake.replace(table, pd.DataFrame({"number": [number], "period": ["2024-01"]}), "period = '2024-01'")


def check(story: Story, rule: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """What must stay is there, and by a rule of runs nothing else is."""
    kept = check_needed(story, rule, before, after)
    gone = {fit for needs in story.needs.values() for fit in needs.fits} - {fit for key in kept for fit in story.needs[key].fits}
    if rule == "1-run":
        assert not gone & after["fits"], "a rule of runs frees all that no kept run needs"


def check_needed(story: Story, rule: str, before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """What must stay is there; the runs that stay whole."""
    kept = story.must_stay(rule)
    for key in kept:
        needs = story.needs[key]
        assert set(needs.fits) <= after["fits"], key
        assert needs.samples in after["samples"]
        assert needs.validation in after["validations"]
        assert key in after["evaluations"]
        assert f"{key}.json" in after["runs"]
        version = needs.tables["clean/tiny"]
        assert after["table"][version] == before["table"][version]
    for row in story.promotions.rows():
        if row.moves:
            assert row.run_key in after["evaluations"]
            assert row.data_version in after["table"]
    assert after["rows"] == before["rows"]
    newest = max(before["table"])
    assert after["table"][newest] == before["table"][newest]
    return kept


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store that holds nothing, made once."""
    root = tmp_path_factory.mktemp("store")
    prepare_store(Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None))
    return root / "mlflow"


@pytest.mark.parametrize("rule", ["1-run", "3-runs", "90d", "400d"])
@pytest.mark.parametrize("seed", range(6))
def test_everything_that_is_needed_stays(home: Home, empty_store: Path, seed: int, rule: str) -> None:
    shutil.copytree(empty_store, home.mlflow)
    story = Story(home, seed)
    before = story.picture()
    said = prune(home, rule, delete=False, now=NOW.isoformat())
    assert story.picture() == before, "without being told to, nothing goes"
    done = prune(home, rule, delete=True, now=NOW.isoformat())
    assert done.freed == said.freed
    check(story, rule, before, story.picture())
    if rule == "400d":
        assert story.picture() == before
    assert prune(home, rule, delete=True, now=NOW.isoformat()).freed == (), "done is done"


@pytest.mark.parametrize("died_at", range(1, 8))
def test_killed_in_the_middle_it_goes_on(home: Home, empty_store: Path, died_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(empty_store, home.mlflow)
    story = Story(home, 1)
    before = story.picture()
    freed: list[str] = []
    original = Waste.__init__

    def mortal(self: Waste, kind: str, name: str, size: int, free: Any) -> None:
        def once() -> None:
            if len(freed) + 1 == died_at:
                raise KeyboardInterrupt
            freed.append(name)
            free()

        original(self, kind, name, size, once)

    with monkeypatch.context() as patch:
        patch.setattr(Waste, "__init__", mortal)
        with pytest.raises(KeyboardInterrupt):
            prune(home, "1-run", delete=True, now=NOW.isoformat())
    check_needed(story, "1-run", before, story.picture())
    prune(home, "1-run", delete=True, now=NOW.isoformat())
    check(story, "1-run", before, story.picture())
    assert prune(home, "1-run", delete=True, now=NOW.isoformat()).freed == ()


def test_a_training_that_begins_meanwhile_stops_it(home: Home, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(empty_store, home.mlflow)
    story = Story(home, 1)
    before = story.picture()

    def begin(result: Any) -> None:
        newest = max(home.runs.glob("*.json"))
        newest.write_text(newest.read_text(encoding="utf-8"), encoding="utf-8")  # planned again: it may use what is about to go

    with pytest.raises(ConflictError, match="a training began meanwhile"):
        prune(home, "1-run", delete=True, say=begin, now=NOW.isoformat())
    assert story.picture() == before
    assert prune(home, "1-run", delete=True, now=NOW.isoformat()).freed


def test_a_folder_half_removed_never_looks_whole(home: Home, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Died while removing a folder's files: the folder has lost its name before it lost a file, and the next prune removes the rest."""
    shutil.copytree(empty_store, home.mlflow)
    story = Story(home, 1)
    before = story.picture()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("finflow.pipelines.core.whole_files.shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            prune(home, "1-run", delete=True, now=NOW.isoformat())
    (left,) = home.root.glob("*/.*.part")
    name = left.name.split(".")[1]
    assert name not in there(home, left.parent.name)
    left.rename(left_by_a_killed_process(left.with_name(name)))
    prune(home, "1-run", delete=True, now=NOW.isoformat())
    assert not list(home.root.glob("*/.*.part"))
    check(story, "1-run", before, story.picture())


@pytest.mark.slow
def test_after_a_prune_everything_goes_on(finflow: Finflow, home: Home, tiny_definition: Path) -> None:
    """The real commands: the kept training is repeated without a fit, the champion scores, kept predictions are read by their version."""
    name = str(tiny_definition)
    finflow.json("train", name, "--as-of", "2016-12-30")
    finflow.json("train", name, "--as-of", "2017-05-31")
    served = finflow.json("score", name, "--as-of", "2017-05-31")
    finflow.json("train", name, "--as-of", "2017-06-30")
    lake = Lake(home.lake)
    before = lake.read(served["table"], version=served["table_version"])
    clean = finflow.json("train", name, "--as-of", "2017-06-30")["data"]
    asked = finflow.run("prune", "--keep", "1-run")
    assert asked.returncode == 0, asked.stderr
    assert "would free 0 bytes" in asked.stdout, "all of it is younger than a day"
    done = prune(home, "1-run", delete=True, now=LATER)
    assert {"fits", "samples"} <= {one.kind for one in done.freed}
    again = finflow.json("train", name, "--as-of", "2017-06-30")
    assert (again["fitted"], again["failed"]) == (0, {})
    assert finflow.json("score", name, "--as-of", "2017-06-30")["rows"] > 0
    assert len(lake.read(clean["table"], version=clean["version"])) >= clean["rows"]
    pd.testing.assert_frame_equal(lake.read(served["table"], version=served["table_version"]), before)
    assert len(finflow.json("history", name)["decisions"]) == 3
