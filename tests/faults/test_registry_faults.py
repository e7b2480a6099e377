"""A registry that is damaged or hostile: refused with the reason before anything is loaded, by every command that would load it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import Promotions
from tests.support import REPOSITORY, Finflow, tiny_values, warm, write_definition

SCORE = ("score", "--as-of", "2017-06-30")
BACKFILL = ("backfill", "--start", "2017-06-26", "--end", "2017-06-28")
BASELINES = {"random-walk": {"model": "random_walk"}, "historical-mean": {"model": "historical_mean"}}
ROLLBACK = ("rollback", "--why", "drifts")

#: several commands in one process, one JSON line each: what they printed and how they ended
PROGRAM = """
import json, sys
from typer.testing import CliRunner
from finflow.flows.command_line.app import app
for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, [*arguments, "--json"])
    answer = {"code": done.exit_code, "output": done.stdout.strip().splitlines()[-1:], "trouble": repr(done.exception)}
    print(json.dumps(answer), flush=True)
"""


@dataclass
class Desk:
    """A home with version 1 (previous) and version 2 (champion), put back as it was before every test."""

    finflow: Finflow
    definition: Path
    pristine: Path
    outside: Path

    @property
    def home(self) -> Home:
        return self.finflow.home

    @property
    def marker(self) -> Path:
        return self.outside / "marker"

    def folder(self, version: int) -> Path:
        """Where a version's files lie. Not asked of MLflow here: its connections would outlive the database that is put back."""
        ((place,),) = self.ask("SELECT storage_location FROM model_versions WHERE version = ?", version)
        return Path(place.removeprefix("file://"))

    def ask(self, statement: str, *values: Any) -> list[Any]:
        connection = sqlite3.connect(self.home.mlflow / "mlflow.db")
        with connection:
            found = connection.execute(statement, values).fetchall()
        connection.close()
        return found

    def python(self, program: str, **variables: str) -> None:
        """Something done with MLflow, in a process of its own that could import the hostile module."""
        environment = {**os.environ, "PYTHONPATH": f"{self.outside}{os.pathsep}{REPOSITORY}", **variables}
        program = f"import mlflow; mlflow.set_tracking_uri({self.home.tracking_uri!r}); {program}"
        warm.run([sys.executable, "-c", program], cwd=REPOSITORY, env=environment, timeout=300)

    def run(self, *commands: tuple[str, ...]) -> list[dict[str, Any]]:
        """The answers of commands, in a process that could import the hostile module."""
        named = [[command[0], str(self.definition), *command[1:]] for command in commands]
        environment = {**self.finflow.environment, "PYTHONPATH": f"{self.outside}{os.pathsep}{REPOSITORY}"}
        done = warm.run([sys.executable, "-c", PROGRAM, json.dumps(named)], cwd=REPOSITORY, env=environment, timeout=300)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(commands), done.stderr[-3000:]
        return [{**answer, **json.loads(answer["output"][0])} if answer["output"] else answer for answer in answers]

    def rows(self) -> list[Any]:
        return Promotions(Lake(self.home.lake), "tiny").rows()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Desk:
    """Two trainings by the real command; the second makes version 2 by refreshing."""
    folder = tmp_path_factory.mktemp("registry")
    root = folder / "home"
    home = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)
    finflow = Finflow(home, prefect_api)
    gate = {"loss": "mae", "minimum_dates": 50, "refresh_dates": 5, "minimum_effect": 0.9}
    definition = write_definition(
        folder / "tiny.yaml", tiny_values(gate=gate, candidates={"ridge": {"model": "ridge"}}, baselines=BASELINES)
    )
    for as_of in ("2017-04-28", "2017-05-31"):
        finflow.json("train", str(definition), "--as-of", as_of)
    shutil.copytree(root, folder / "pristine")
    outside = folder / "outside"
    outside.mkdir()
    (outside / "hostile_loader.py").write_text(f"open({str(outside / 'marker')!r}, 'w').close()\ndef _load_pyfunc(path): return None\n")
    return Desk(finflow, definition, folder / "pristine", outside)


@pytest.fixture
def desk(built: Desk) -> Desk:
    shutil.rmtree(built.home.root)
    shutil.copytree(built.pristine, built.home.root)
    built.marker.unlink(missing_ok=True)
    assert [(row.verdict, row.version) for row in built.rows()] == [("reference", 1), ("refreshed", 2)]
    return built


def deleted(desk: Desk, version: int) -> None:
    desk.python(f"mlflow.MlflowClient().delete_model_version('tiny', '{version}')")


def files_gone(desk: Desk, version: int) -> None:
    shutil.rmtree(desk.folder(version))


def flipped(desk: Desk, version: int) -> None:
    path = desk.folder(version) / "data/served/golden.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def added(desk: Desk, version: int) -> None:
    (desk.folder(version) / "data/served/model/notes.json").write_text("{}")


def swapped(desk: Desk, version: int) -> None:
    """Each version's files under the other's number: whole, sound, and not those that were promoted."""
    if version == 1:
        return
    first, second = desk.folder(1), desk.folder(2)
    first.rename(first.parent / "aside")
    second.rename(first)
    (first.parent / "aside").rename(second)


def pickled(desk: Desk, version: int) -> None:
    (desk.folder(version) / "data/served/model.pkl").write_bytes(f"cos\nsystem\n(S'touch {desk.marker}'\ntR.".encode())


def other_loader(desk: Desk, version: int) -> None:
    path = desk.folder(version) / "MLmodel"
    described = yaml.safe_load(path.read_text())
    described["flavors"]["python_function"]["loader_module"] = "hostile_loader"
    path.write_text(yaml.safe_dump(described))


def own_code(desk: Desk, version: int) -> None:
    """Code that MLflow puts first on the path: a module of the loader's name."""
    folder = desk.folder(version)
    described = yaml.safe_load((folder / "MLmodel").read_text())
    described["flavors"]["python_function"].update(code="code", loader_module="brought_along")
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    (folder / "code").mkdir()
    (folder / "code" / "brought_along.py").write_text(f"open({str(desk.marker)!r}, 'w').close()\ndef _load_pyfunc(path): return None\n")


def linked(desk: Desk, version: int) -> None:
    folder = desk.folder(version)
    outside = desk.outside / "golden.safetensors"
    shutil.copyfile(folder / "data/served/golden.safetensors", outside)
    (folder / "data/served/golden.safetensors").unlink()
    (folder / "data/served/golden.safetensors").symlink_to(outside)


CASES: dict[str, tuple[Callable[[Desk, int], None], str]] = {
    "a version that was deleted": (deleted, "{version} .*(not in the registry: somebody deleted it|cannot be fetched)"),
    "its files deleted": (files_gone, "version {version} of tiny cannot be fetched"),
    "a flipped byte": (flipped, "golden.safetensors in the version was changed"),
    "a file more": (added, "notes.json in the version is not in the version's manifest"),
    "another version's files": (swapped, "not the files that were promoted"),
    "a link": (linked, "is a link or a device|outside the artifact directory"),
    "a pickle": (pickled, "model.pkl in the version: files of this kind are never loaded"),
    "another loader": (other_loader, "names the loader 'hostile_loader': only finflow.pipelines.registry.loader is admitted"),
    "code of its own": (own_code, r"brought_along|code"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_no_command_loads_it(desk: Desk, case: str) -> None:
    """Both versions are damaged in the same way: the champion cannot score, and there is no way back to the other."""
    damage, message = CASES[case]
    damage(desk, 2)
    damage(desk, 1)
    score, backfill, back = desk.run(SCORE, BACKFILL, ROLLBACK)
    for answer, version in ((score, 2), (backfill, 2), (back, 1)):
        assert (answer["code"], answer["ok"]) == (1, False), answer
        assert re.search(message.format(version=version), json.dumps(answer)), answer
    assert not Lake(desk.home.lake).exists("predictions/tiny"), "something was predicted"
    assert [row.verdict for row in desk.rows()] == ["reference", "refreshed"], "a refusal is no decision"
    assert not desk.marker.exists(), "something of it ran"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flipped, deleted])
def test_the_way_back_to_a_sound_version_is_open(desk: Desk, damage: Callable[[Desk, int], None]) -> None:
    damage(desk, 2)
    refused, back, again = desk.run(SCORE, ROLLBACK, SCORE)
    assert refused["code"] == 1
    assert back["code"] == 0, back
    assert (again["code"], again["version"]) == (0, 1)


@pytest.mark.slow
def test_an_alias_that_points_nowhere_is_refused(desk: Desk) -> None:
    desk.ask("UPDATE registered_model_aliases SET version = 99 WHERE alias = 'champion'")
    score, backfill = desk.run(SCORE, BACKFILL)
    for answer in (score, backfill):
        assert answer["code"] == 1
        assert "tiny@champion names version 99, which was never promoted; the promotions table says version 2" in answer["error"]


@pytest.mark.slow
def test_a_deleted_champion_is_demoted_by_the_next_training(desk: Desk) -> None:
    deleted(desk, 2)
    (trained,) = desk.run(("train", "--as-of", "2017-06-30"))
    assert trained["code"] == 0, trained
    assert trained["decision"]["verdict"] == "demoted"
    assert "a check failed: version 2 of tiny cannot be fetched" in trained["decision"]["reason"]
    assert desk.ask("SELECT version FROM registered_model_aliases WHERE alias = 'champion'") == [(3,)]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [other_loader, own_code])
def test_the_marker_is_real(desk: Desk, damage: Callable[[Desk, int], None]) -> None:
    """MLflow itself, asked directly and with pickle forbidden, runs what these files bring: that is what the checks are for."""
    damage(desk, 2)
    desk.python("mlflow.pyfunc.load_model('models:/tiny/2')", MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    assert desk.marker.exists()
