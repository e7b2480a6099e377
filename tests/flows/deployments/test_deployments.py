"""Deployments: what is planned for each definition, prefect.yaml, and what a real server keeps of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from finflow.flows.deployments.plan import (
    COLLISION,
    KINDS,
    LONGEST_SCHEDULE,
    QUEUES,
    coming_runs,
    form_of,
    plan_deployments,
    rule_of,
    runs_of,
)
from finflow.flows.runs import POOL
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.loading import DEFINITIONS, load_definition
from finflow.pipelines.settings.timing import AfterClose, Cron
from tests.support import REPOSITORY, warm, write_definition
from tests.support.flows.deployed import live_values
from tests.support.flows.served import Served, served, until

XNYS = AfterClose("XNYS", "session")
HAND_WRITTEN: dict[str, Any] = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text(encoding="utf-8"))
SHIPPED = len(list(DEFINITIONS.glob("*.yaml")))


def test_every_definition_has_its_deployments(tmp_path: Path) -> None:
    path = write_definition(tmp_path / "live.yaml", live_values())
    found = plan_deployments([str(path), "index-price"])
    assert {one.full_name for one in found} >= {
        f"{kind}/{name}" for kind in ("train", "try", "score", "backfill", "monitor", "approve") for name in ("index-price", "live")
    }
    assert len({one.full_name for one in found}) == len(found) == (SHIPPED + 1) * len(KINDS)
    by_name = {one.full_name: one for one in found}
    assert by_name["score/live"].name == str(path)
    assert by_name["score/live"].timing == XNYS
    assert by_name["score/live"].active
    assert by_name["score/live"].slug == "finflow: after the close of XNYS"
    assert by_name["backfill/live"].timing is None
    assert not by_name["score/index-price"].active, "nothing is added to the data of a package"
    assert by_name["train/index-price"].timing == AfterClose("XNYS", "week")


def test_a_schedule_may_begin_paused(tmp_path: Path) -> None:
    values = live_values(schedule={"score": "after the close of XNYS", "paused": True})
    found = {one.full_name: one for one in plan_deployments([str(write_definition(tmp_path / "live.yaml", values))])}
    assert found["score/live"].timing == XNYS
    assert not found["score/live"].active
    assert found["score/live"].description.endswith("It is so defined: the schedule begins paused.")
    assert "Its source is a stored history" in found["score/index-price"].description
    shipped = ("fx-rates", "fx-volatility", "crypto-price", "customer-propensity", "german-credit")
    assert not [one for one in found.values() if one.definition.name in shipped and one.active], "no file, no extra by default"


def test_live_scoring_goes_before_trainings_and_backfills() -> None:
    priority = {queue.name: queue.priority for queue in QUEUES}
    limits = {queue.name: queue.limit for queue in QUEUES}
    queues = {kind.name: kind.queue for kind in KINDS}
    assert queues == {"train": "training", "try": "training", "score": "live", "backfill": "backfill", "monitor": "live", "approve": "live"}
    assert priority["live"] < priority["training"] < priority["backfill"]
    assert (limits["live"], limits["training"], limits["backfill"]) == (None, 1, 1)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    one = write_definition(tmp_path / "one.yaml", live_values())
    two = write_definition(tmp_path / "two.yaml", live_values())
    with pytest.raises(DefinitionError, match=r"two\.yaml and .*one\.yaml are both named 'live'"):
        plan_deployments([str(one), str(two)])
    assert len(plan_deployments([str(one), str(one)])) == (SHIPPED + 1) * len(KINDS)


def test_a_rule_holds_the_coming_runs_in_the_exchanges_time() -> None:
    definition = load_definition("index-price")
    runs = coming_runs(definition, XNYS, pd.Timestamp("2018-11-20T22:00", tz="UTC"))
    rule = rule_of(runs)
    assert rule.startswith("RDATE:20181120T170000,20181121T170000,20181123T140000,20181126T170000")
    assert len(runs) == LONGEST_SCHEDULE
    assert len(rule) < 6500, "Prefect takes no longer rule"
    assert runs_of(f"DTSTART:20200101T000000\n{rule}", "America/New_York") == runs
    assert runs_of("FREQ=DAILY", "UTC") == []


def test_prefects_own_schedule_yields_the_same_instants() -> None:
    import asyncio
    import datetime

    from prefect.server.schemas.schedules import RRuleSchedule

    runs = coming_runs(load_definition("index-price"), XNYS, pd.Timestamp("2018-03-08", tz="UTC"))
    schedule = RRuleSchedule(rrule=rule_of(runs), timezone="America/New_York")
    start = datetime.datetime(2018, 3, 8, tzinfo=datetime.UTC)
    found = asyncio.run(schedule.get_dates(n=4, start=start))
    assert [f"{instant.astimezone(datetime.UTC):%Y-%m-%d %H:%M}" for instant in found] == [
        "2018-03-08 22:00",
        "2018-03-09 22:00",
        "2018-03-12 21:00",
        "2018-03-13 21:00",
    ]


def test_the_forms_offer_what_can_be_chosen() -> None:
    forms = {one.kind.name: form_of(one)["properties"] for one in plan_deployments([]) if one.definition.name == "index-price"}
    for kind, form in forms.items():
        assert form["name"]["enum"] == ["index-price"], kind
        assert form["name"]["default"] == "index-price"
    assert forms["backfill"]["only"]["enum"] == ["missing", "failed", "stale", "all"]
    assert {"enum": ["monthly", "quarterly"], "type": "string"} in forms["backfill"]["retrain"]["anyOf"]
    assert forms["approve"]["verdict"]["enum"] == ["approve", "reject"]
    assert forms["score"]["as_of"]["description"], "the form explains itself"


def test_prefect_yaml_is_a_part_of_what_is_planned() -> None:
    planned = {(one.kind.entrypoint, one.definition.name): one for one in plan_deployments([])}
    entries = HAND_WRITTEN["deployments"]
    assert {(one["entrypoint"], one["name"]) for one in entries} >= {(kind.entrypoint, "index-price") for kind in KINDS}
    for entry in entries:
        wanted = planned[entry["entrypoint"], entry["name"]]
        assert (entry["parameters"], entry["tags"]) == ({"name": wanted.name}, wanted.tags)
        assert entry["work_pool"] == {"name": POOL, "work_queue_name": wanted.kind.queue}
        assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": COLLISION}
        assert [(one["slug"], one["active"]) for one in entry.get("schedules", [])] == (
            [] if wanted.timing is None else [(wanted.slug, wanted.active)]
        ), f"another slug than the definition's would leave {wanted.full_name} with two schedules after `finflow up`"
        if isinstance(wanted.timing, Cron):
            (schedule,) = entry["schedules"]
            assert (schedule["cron"], schedule["timezone"]) == (wanted.timing.line, wanted.definition.schedule.timezone)


def schedule_of(server: Served, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = server.deployment(name)["schedules"]
    assert len(found) == 1
    return found[0]


@pytest.mark.slow
def test_registering_keeps_what_a_person_changed(tmp_path: Path) -> None:
    path = write_definition(tmp_path / "live.yaml", live_values())
    with served(tmp_path) as server:
        names = server.register(str(path))["deployments"]
        assert "score/live" in names
        first = {name: server.deployment(name) for name in ("score/live", "backfill/live", "train/live")}
        assert first["score/live"]["work_queue_name"] == "live"
        assert first["score/live"]["global_concurrency_limit"]["limit"] == 1
        assert first["score/live"]["enforce_parameter_schema"]
        assert schedule_of(server, "score/live")["active"]
        queues = {queue["name"]: queue for queue in server.post("/work_pools/finflow/queues/filter")}
        assert (queues["training"]["priority"], queues["training"]["concurrency_limit"]) == (2, 1)

        planned = until(lambda: [run for run in server.runs() if run["auto_scheduled"]], 60)
        rule = schedule_of(server, "score/live")["schedule"]["rrule"]
        coming = runs_of(rule, "America/New_York")
        assert [pd.Timestamp(run["expected_start_time"]) for run in planned] == [run.tz_convert("UTC") for run in coming[: len(planned)]]

        identity, schedule = first["score/live"]["id"], schedule_of(server, "score/live")["id"]
        server.patch(f"/deployments/{identity}/schedules/{schedule}", {"active": False})
        server.post(f"/deployments/{first['train/live']['id']}/pause_deployment")
        server.patch("/work_pools/finflow/queues/training", {"concurrency_limit": 2})
        server.post(f"/deployments/{first['backfill/live']['id']}/schedules", [{"schedule": {"cron": "0 1 * * *"}, "active": True}])
        before = {name: server.deployment(name) for name in first}
        server.register(str(path))
        assert {name: server.deployment(name) for name in first} == before, "paused, switched off and added schedules stay"
        queues = {queue["name"]: queue for queue in server.post("/work_pools/finflow/queues/filter")}
        assert queues["training"]["concurrency_limit"] == 2

        # What the definition says is followed, and what a person switched off stays off.
        write_definition(path, live_values() | {"title": "Another title", "schedule": {"score": "monthly after the close of XNYS"}})
        server.register(str(path))
        changed = schedule_of(server, "score/live")
        assert changed["slug"] == "finflow: monthly after the close of XNYS"
        assert not changed["active"]
        assert server.deployment("score/live")["description"].startswith("Another title.")
        assert server.deployment("train/live")["paused"]

        environment = {**server.environment, "PREFECT_CLI_PROMPT": "false"}
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "prefect.yaml"]
        done = warm.run(command, cwd=REPOSITORY, env=environment, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("successfully created") == len(HAND_WRITTEN["deployments"])
        assert schedule_of(server, "score/index-price")["schedule"]["cron"] == "0 17 * * 1-5"
        server.register()
        assert runs_of(schedule_of(server, "score/index-price")["schedule"]["rrule"], "America/New_York"), "sessions in the line's place"
        assert not schedule_of(server, "score/index-price")["active"]
        assert schedule_of(server, "score/fx-rates")["schedule"]["cron"] == "0 1 * * 2-6"


def test_a_deployment_of_before_gets_the_name_by_which_its_flow_is_imported_now() -> None:
    """A worker could not start what a server knows as `flows.train.train_flow`: `up` and every scheduled run bring it up to date."""
    from types import SimpleNamespace
    from typing import cast
    from uuid import uuid4

    from finflow.flows.deployments.register import _bring_up_to_date, _fields

    planned = plan_deployments(["index-price"])[0]
    wanted = _fields(planned)
    before = SimpleNamespace(**{**wanted, "entrypoint": planned.kind.entrypoint.removeprefix("finflow.")}, global_concurrency_limit=1)
    told: list[dict[str, Any]] = []
    client = SimpleNamespace(update_deployment=lambda identity, update: told.append(update.model_dump(exclude_unset=True)))
    _bring_up_to_date(cast(Any, client), uuid4(), cast(Any, before), wanted)
    assert told == [{"entrypoint": planned.kind.entrypoint}]
    assert planned.kind.entrypoint.startswith("finflow.flows.")
