"""Killed with SIGKILL at any stage, the same command again ends in the state of a run that was never killed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from finflow.pipelines.core.home import Home
from tests.support import Finflow, comparable_state, tiny_values, write_definition

KILL = ("tests/support/faults/kill_at.py",)
TRAIN = ("train", "tiny.yaml", "--as-of", "2017-06-30")
SCORE = ("score", "tiny.yaml", "--as-of", "2017-07-14")
BACKFILL = ("backfill", "tiny.yaml", "--start", "2017-07-03", "--end", "2017-07-31")
EVERYTHING = (TRAIN, SCORE, BACKFILL)

# Where to die: the place, when, and the command that dies there.
QUICK = [
    pytest.param("finflow.pipelines.fits.fits:carry_out", "0.4", TRAIN, id="fit"),
    pytest.param("finflow.pipelines.registry.versions:register", "after", TRAIN, id="registered-not-recorded"),
    pytest.param("finflow.pipelines.backfill.run:run_chunk", "after", BACKFILL, id="backfill-chunk-written"),
]
SLOW = [
    pytest.param("finflow.pipelines.lake.lake:Lake.append", "before", TRAIN, id="ingest-before-write"),
    pytest.param("finflow.pipelines.lake.lake:Lake.append", "after", TRAIN, id="ingest-after-write"),
    pytest.param("finflow.pipelines.data.contract:validate", "0.5", TRAIN, id="validation"),
    pytest.param("finflow.pipelines.samples.windows:store_samples", "after", TRAIN, id="windowed"),
    pytest.param("finflow.pipelines.evaluation.evaluation:evaluate", "0.3", TRAIN, id="evaluation"),
    pytest.param("finflow.pipelines.registry.versions:register", "0.5", TRAIN, id="registration"),
    pytest.param("finflow.pipelines.lake.promotions:Promotions.record", "before", TRAIN, id="promotion-not-recorded"),
    pytest.param("finflow.pipelines.lake.promotions:Promotions.record", "after", TRAIN, id="recorded-no-alias"),
    pytest.param("finflow.pipelines.registry.versions:repair_aliases", "after", TRAIN, id="alias-set"),
    pytest.param("finflow.pipelines.training.tracking:log_training", "0.8", TRAIN, id="logging"),
    pytest.param("finflow.pipelines.scoring.score:score_clean", "before", SCORE, id="scoring-before"),
    pytest.param("finflow.pipelines.lake.predictions:Predictions.append_new", "after", SCORE, id="scoring-written"),
    pytest.param("finflow.pipelines.backfill.run:run_chunk", "before", BACKFILL, id="backfill-before-chunk"),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """By command, the state that it leaves in a home where nothing was killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    root = folder / "home"
    home = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)
    finflow, path = Finflow(home, prefect_api), write_definition(folder / "tiny.yaml", tiny_values())
    states = {}
    for command in EVERYTHING:
        finflow.json(*with_path(command, path))
        states[command] = comparable_state(home, "tiny")
    return states


def with_path(command: tuple[str, ...], path: Path) -> tuple[str, ...]:
    return tuple(str(path) if part == "tiny.yaml" else part for part in command)


def kill_and_finish(finflow: Finflow, path: Path, place: str, when: str, dies: tuple[str, ...]) -> None:
    """The commands up to the one that dies, that one killed, and the same again."""
    for command in EVERYTHING[: EVERYTHING.index(dies)]:
        finflow.json(*with_path(command, path))
    killed = finflow.run(place, when, *with_path(dies, path), program=KILL)
    assert killed.returncode == -signal.SIGKILL, f"it was to die at {place}: {killed.stdout}{killed.stderr[-2000:]}"
    finflow.json(*with_path(dies, path))


@pytest.mark.parametrize(("place", "when", "dies"), QUICK)
def test_killed_and_finished(
    place: str,
    when: str,
    dies: tuple[str, ...],
    finflow: Finflow,
    home: Home,
    tiny_definition: Path,
    undisturbed: dict[tuple[str, ...], dict[str, Any]],
) -> None:
    kill_and_finish(finflow, tiny_definition, place, when, dies)
    assert comparable_state(home, "tiny") == undisturbed[dies]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "when", "dies"), SLOW)
def test_killed_and_finished_everywhere(
    place: str,
    when: str,
    dies: tuple[str, ...],
    finflow: Finflow,
    home: Home,
    tiny_definition: Path,
    undisturbed: dict[tuple[str, ...], dict[str, Any]],
) -> None:
    kill_and_finish(finflow, tiny_definition, place, when, dies)
    assert comparable_state(home, "tiny") == undisturbed[dies]
