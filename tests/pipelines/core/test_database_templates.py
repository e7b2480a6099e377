"""Databases copied from a template: as migrated ones are, and never with anything of another home."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from finflow.pipelines.core.database_templates import begin_from_template, keep_as_template, template_of
from finflow.pipelines.core.home import Home
from finflow.pipelines.tracking.store import prepare_store, store_client


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of templates of the test's own."""
    monkeypatch.setenv("FINFLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def home_at(root: Path) -> Home:
    return Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)


def schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return sorted(database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall(), key=str)


def made(path: Path, *statements: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)
    return path


def test_the_second_home_copies_the_store_that_the_first_one_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = home_at(tmp_path / "one"), home_at(tmp_path / "two")
    prepare_store(one)
    monkeypatch.setattr("finflow.pipelines.tracking.store._migrate", lambda *_: pytest.fail("it was migrated again"))
    prepare_store(two)
    databases = [home.mlflow / "mlflow.db" for home in (one, two)]
    assert schema(databases[0]) == schema(databases[1])
    (default,) = store_client(two).search_experiments()
    assert default.artifact_location == (two.mlflow / "artifacts").as_uri() + "/0"
    run = store_client(two).create_run(default.experiment_id)
    assert run.info.artifact_uri.startswith(default.artifact_location)
    assert [path.name for path in two.mlflow.iterdir() if "part" in path.name or "template" in path.name] == []


def test_a_database_that_somebody_has_used_is_not_kept(tmp_path: Path, cache: Path) -> None:
    used = made(tmp_path / "used.db", "CREATE TABLE flow_run (name)", "INSERT INTO flow_run VALUES ('mine')")
    keep_as_template("prefect", used)
    assert list(cache.iterdir()) == []
    assert not begin_from_template("prefect", tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_a_template_is_kept_once_and_replaces_nothing(tmp_path: Path, cache: Path) -> None:
    keep_as_template("prefect", made(tmp_path / "one.db", "CREATE TABLE flow_run (name)"))
    keep_as_template("prefect", made(tmp_path / "two.db", "CREATE TABLE other (name)"))
    assert [path.name for path in cache.iterdir()] == [template_of("prefect").name]
    there = made(tmp_path / "there.db", "CREATE TABLE mine (name)")
    assert not begin_from_template("prefect", there)
    assert [row[1] for row in schema(there)] == ["mine"]
    assert begin_from_template("prefect", tmp_path / "new.db")
    assert [row[1] for row in schema(tmp_path / "new.db")] == ["flow_run"]


def test_where_nothing_can_be_kept_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FINFLOW_CACHE", str(tmp_path / "file"))
    keep_as_template("prefect", made(tmp_path / "one.db", "CREATE TABLE flow_run (name)"))
    assert not begin_from_template("prefect", tmp_path / "new.db")


def test_templates_of_other_releases_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_as_template("mlflow", made(tmp_path / "one.db", "CREATE TABLE runs (name)"))
    monkeypatch.setattr("finflow.pipelines.core.database_templates.version", lambda _: "99")
    assert not begin_from_template("mlflow", tmp_path / "new.db")
