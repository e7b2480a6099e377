"""Flow, worker, MLflow server or Prefect server killed with SIGKILL in the middle of a training and of a backfill.

After `finflow up` and the same commands again, the state is that of a home which nothing disturbed; no run stays Running, and nobody
holds a concurrency slot.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.predictions import Predictions
from tests.support import Finflow, comparable_state, tiny_values, write_definition
from tests.support.faults.stack import Site, kill, wait_for

pytestmark = pytest.mark.slow

# What is killed, and the dates that are being backfilled meanwhile: a range of its own for each.
VICTIMS = {
    "flow": ("2016-07-01", "2016-10-31"),
    "worker": ("2016-11-01", "2017-02-28"),
    "mlflow": ("2017-03-01", "2017-05-31"),
    "prefect": ("2017-06-01", "2017-08-31"),
    "flow and worker": ("2016-03-01", "2016-06-30"),
}
ZOMBIE_SECONDS = 40
AS_OF = "2017-06-30"
CALM, FILLED = "tiny-calm", "tiny-filled"


def trained_name(victim: str) -> str:
    return f"tiny-{victim.replace(' ', '-')}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Servers, and two trained definitions: one that stays calm, and one that is backfilled."""
    folder = tmp_path_factory.mktemp("killed")
    root = folder / "home"
    home = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)
    finflow = Finflow(home, "")
    del finflow.environment["PREFECT_API_URL"]
    finflow.environment["FINFLOW_ZOMBIE_SECONDS"] = str(ZOMBIE_SECONDS)
    names = [CALM, FILLED, *map(trained_name, VICTIMS)]
    site = Site(home, finflow, [write_definition(folder / f"{name}.yaml", tiny_values(name=name)) for name in names])
    try:
        site.up()
        for name in (CALM, FILLED):
            finflow.json(*training(site, name))
        yield site
    finally:
        site.down()


@pytest.fixture(scope="module")
def trained(site: Site) -> dict[str, Any]:
    # Every training is of the same data, and CALM's was the first look at them: who comes later decides otherwise.
    return picture(site, FILLED)


def path_of(site: Site, name: str) -> str:
    return str(next(path for path in site.definitions if path.stem == name))


def training(site: Site, name: str) -> tuple[str, ...]:
    return ("train", path_of(site, name), "--as-of", AS_OF)


def filling(site: Site, name: str, dates: tuple[str, str]) -> tuple[str, ...]:
    return ("backfill", path_of(site, name), "--start", dates[0], "--end", dates[1])


def picture(site: Site, name: str) -> dict[str, Any]:
    """The state of a training; the definition's name and what is made of it do not count."""
    state = comparable_state(site.served_home(), name)
    del state["fits"]
    for decision in state["decisions"]:
        decision.pop("run_key")
        for key in ("evidence", "reason"):  # every training of this file is one look more
            decision[key] = re.sub(r'"before": \d+|seen (?:once|[\d,]+ times)', "seen", decision[key])
    return state


def rows(site: Site, name: str, dates: tuple[str, str]) -> list[dict[str, Any]]:
    """The prediction rows of a range, without when and by whom they were written."""
    frame = Predictions(Lake(site.home.lake), name).read(*dates).drop(columns=["scored_at", "backfill_id"])
    return frame.sort_values(["time", "entity", "horizon"]).astype(str).to_dict("records")


def in_the_middle(site: Site, name: str, runs: dict[str, str]) -> None:
    """Stop both runs where each has done a part and has more to do, and let them go on together."""
    log = Path(site.home.lake) / "predictions" / FILLED / "_delta_log"
    before = len(list(log.glob("*.json"))) if log.is_dir() else 0
    reached = {
        "train": lambda: site.home.fits.is_dir() and len(list(site.home.fits.glob("[!.]*"))) >= 2,
        "backfill": lambda: log.is_dir() and len(list(log.glob("*.json"))) > before,
    }
    processes = {work: site.flow_process(run) for work, run in runs.items()}
    left = set(reached)

    def stop_who_is_there() -> bool:
        for work in list(left):
            if reached[work]():
                os.kill(processes[work], signal.SIGSTOP)
                left.discard(work)
        return not left

    wait_for("both runs in the middle", stop_who_is_there, 120, 0.002)
    assert {site.state(run) for run in runs.values()} == {"RUNNING"}
    for process in processes.values():
        os.kill(process, signal.SIGCONT)


#: each half of the last case by itself
_HALVES = ("flow", "worker")


@pytest.mark.parametrize("victim", [pytest.param(name, marks=pytest.mark.nightly if name in _HALVES else ()) for name in VICTIMS])
def test_killed_and_started_again(victim: str, site: Site, trained: dict[str, Any]) -> None:
    name, dates = trained_name(victim), VICTIMS[victim]
    site.finflow.json(*filling(site, CALM, dates))
    site.forget_fits()
    runs = {
        "train": site.request(f"train/{name}", {"as_of": AS_OF}),
        "backfill": site.request(f"backfill/{FILLED}", {"start": dates[0], "end": dates[1]}),
    }
    in_the_middle(site, name, runs)

    for part in victim.split(" and "):
        for process in [site.flow_process(run) for run in runs.values()] if part == "flow" else [site.stack.server(part).pid]:
            kill(process)

    site.up()
    for run in runs.values():
        site.settled(run, ZOMBIE_SECONDS + 90)
    site.finflow.json(*training(site, name))
    site.finflow.json(*filling(site, FILLED, dates))
    assert picture(site, name) == trained
    assert rows(site, FILLED, dates) == rows(site, CALM, dates) != []
    assert site.open_runs() == []
    assert site.taken_slots() == 0
