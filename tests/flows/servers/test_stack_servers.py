"""One real stack, secured, for all tests here: who gets in, who uses it, and what `up` and `down` do to it.

Each test leaves the servers up, healthy and at their ports.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from finflow.flows.servers.processes import descendants
from finflow.flows.servers.secrets import Secrets, read_secrets
from tests.support import tiny_values, write_definition
from tests.support.flows.stack_support import Installation, ask

pytestmark = pytest.mark.slow

SEARCH = "/api/2.0/mlflow/experiments/search"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_definition(tmp_path_factory.mktemp("definitions") / "tiny.yaml", tiny_values())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("stack") / "home", FINFLOW_SECURE="1")
    try:
        outcome = made.json("up", str(tiny))
        assert outcome["started"] == ["prefect", "mlflow", "worker"]
        assert {"train/tiny", "score/tiny", "backfill/tiny"} <= set(outcome["deployments"])
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def secrets(site: Installation) -> Secrets:
    return read_secrets(site.home)


def test_nobody_gets_in_without_credentials(site: Installation, secrets: Secrets) -> None:
    mlflow, prefect = site.stack.address("mlflow"), site.stack.prefect_api
    for user, password in (("", ""), ("finflow", "wrong"), ("admin", "password1234"), ("finflow", secrets.mlflow_key)):
        assert ask(mlflow + SEARCH, {"max_results": 1}, user=user, password=password).status == 401
        assert ask(f"{mlflow}/api/2.0/mlflow-artifacts/artifacts", user=user, password=password).status == 401
        assert ask(f"{prefect}/flows/filter", {}, user=user, password=password).status == 401
    assert ask(mlflow + SEARCH, {"max_results": 1}, user="finflow", password=secrets.mlflow_password).status == 200
    assert ask(f"{prefect}/flows/filter", {}, user="finflow", password=secrets.prefect_password).status == 200
    assert ask(f"{prefect}/flows/filter", {}, user="finflow", password=secrets.mlflow_password).status == 401, "each has its own"


def test_who_may_only_read_cannot_write(site: Installation, secrets: Secrets) -> None:
    api = f"{site.stack.address('mlflow')}/api/2.0/mlflow"
    admin = {"user": "finflow", "password": secrets.mlflow_password}
    reader = {"user": f"reader-{time.time_ns()}", "password": "only-for-reading-here"}
    created = ask(f"{api}/users/create", {"username": reader["user"], "password": reader["password"]}, **admin)
    assert created.status == 200
    name = f"desk-{time.time_ns()}"
    experiment = ask(f"{api}/experiments/create", {"name": name}, **admin).body["experiment_id"]
    assert ask(f"{api}/experiments/get?experiment_id={experiment}", **reader).status == 200
    assert ask(f"{api}/runs/create", {"experiment_id": experiment}, **reader).status == 403
    assert ask(f"{api}/experiments/delete", {"experiment_id": experiment}, **reader).status == 403
    assert ask(f"{api}/users/create", {"username": "another", "password": "another-password"}, **reader).status == 403
    run = ask(f"{api}/runs/create", {"experiment_id": experiment}, **admin).body["run"]["info"]["run_id"]
    metric = {"run_id": run, "key": "mae", "value": 1.0, "timestamp": 0}
    assert ask(f"{api}/runs/log-metric", metric, **reader).status == 403
    assert ask(f"{api}/runs/log-metric", metric, **admin).status == 200
    granted = {"username": reader["user"], "resource_type": "experiment", "resource_id": experiment, "permission": "EDIT"}
    assert ask(f"{api.replace('2.0', '3.0')}/users/permissions/grant", granted, **reader).status == 403, "nobody grants themselves"
    assert ask(f"{api.replace('2.0', '3.0')}/users/permissions/grant", granted, **admin).status == 200
    assert ask(f"{api}/runs/log-metric", metric, **reader).status == 200
    assert ask(f"{api}/registered-models/create", {"name": name}, **admin).status == 200
    alias = {"name": name, "alias": "champion", "version": "1"}
    assert ask(f"{api}/registered-models/alias", alias, **reader).status == 403


def test_a_forged_host_and_a_foreign_page_are_refused(site: Installation, secrets: Secrets) -> None:
    mlflow, prefect = site.stack.address("mlflow"), site.stack.prefect_api
    known = {"user": "finflow", "password": secrets.mlflow_password}
    assert ask(mlflow + SEARCH, {"max_results": 1}, Host="evil.example", **known).status == 403
    assert ask(mlflow + SEARCH, {"max_results": 1}, Host=f"localhost:{site.stack.server('mlflow').port}", **known).status == 200
    assert ask(mlflow + SEARCH, {"max_results": 1}, Origin="https://evil.example", **known).status == 403
    own = {"user": "finflow", "password": secrets.prefect_password}
    assert ask(f"{prefect}/flows/filter", {}, Host="evil.example", **own).status == 403
    assert ask(f"{prefect}/flows/filter", {}, Host="127.0.0.1.evil.example:80", **own).status == 403
    wanted = {"Origin": "https://evil.example", "Access_Control_Request_Method": "POST"}
    foreign = ask(f"{prefect}/flows/filter", method="OPTIONS", **wanted)
    assert "access-control-allow-origin" not in foreign.headers
    same = ask(f"{prefect}/flows/filter", method="OPTIONS", **{**wanted, "Origin": site.stack.address("prefect")})
    assert same.headers["access-control-allow-origin"] == site.stack.address("prefect")


def test_nothing_is_executed_for_a_caller(site: Installation, secrets: Secrets) -> None:
    mlflow, known = site.stack.address("mlflow"), {"user": "finflow", "password": secrets.mlflow_password}
    job = ask(f"{mlflow}/ajax-api/3.0/jobs/", {"job_name": "invoke_scorer", "params": {}}, **known)
    assert job.status >= 400
    assert "MLFLOW_SERVER_ENABLE_JOB_EXECUTION" in str(job.body)
    assert ask(f"{mlflow}/ajax-api/3.0/mlflow/assistant/config", **known).status == 404


def test_everything_listens_on_loopback_alone(site: Installation) -> None:
    listening = {}
    for process in descendants(site.stack):
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                listening[connection.laddr.port] = connection.laddr.ip
    assert {server.port for server in site.stack.servers} <= set(listening)
    assert set(listening.values()) == {"127.0.0.1"}


def test_a_command_uses_the_servers(site: Installation, secrets: Secrets, tiny: Path) -> None:
    trained = site.json("train", str(tiny), "--as-of", "2017-05-31")
    assert trained["decision"]["reason"]
    assert not (site.home.prefect / "server.json").exists(), "no embedded server was started"
    known = {"user": "finflow", "password": secrets.mlflow_password}
    api = f"{site.stack.address('mlflow')}/api/2.0"
    experiment = ask(f"{api}/mlflow/experiments/get-by-name?experiment_name=tiny", **known).body["experiment"]
    assert experiment["artifact_location"].startswith("mlflow-artifacts:/")
    assert (site.home.mlflow / "artifacts" / experiment["experiment_id"]).is_dir()
    flows = ask(f"{site.stack.prefect_api}/flow_runs/filter", {}, user="finflow", password=secrets.prefect_password).body
    assert "train tiny as of 2017-05-31" in {run["name"] for run in flows}
    shown = site.run("ui", BROWSER="true")
    assert shown.returncode == 0
    assert site.stack.address("mlflow") in shown.stderr
    assert site.stack.address("prefect") in shown.stderr
    assert site.run("status", str(tiny)).returncode == 0


def test_a_deployment_runs_under_the_worker(site: Installation) -> None:
    program = """
from prefect.deployments import run_deployment
run = run_deployment("train/tiny", parameters={"as_of": "2017-06-30"}, timeout=240, poll_interval=1)
print(run.state.type.value, run.state.message)
"""
    assert site.python(program).startswith("COMPLETED")


def test_started_again_twice_at_once_nothing_changes(site: Installation, tiny: Path) -> None:
    before = (site.home.servers / "stack.json").read_bytes()
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: site.json("up", str(tiny)), range(2)))
    assert [outcome["started"] for outcome in outcomes] == [[], []]
    assert outcomes[0]["deployments"] == outcomes[1]["deployments"]
    assert (site.home.servers / "stack.json").read_bytes() == before
    assert site.run("up", "--check").returncode == 0


def test_servers_that_were_killed_come_back_where_they_were(site: Installation, tiny: Path) -> None:
    before = site.stack
    for victim, remark in (
        ("mlflow", "The MLflow server of this home has ended"),
        ("prefect", "The Prefect server of this home has ended"),
    ):
        kept = site.pids()
        os.kill(kept[victim], signal.SIGKILL)
        wait_for_the_end(kept[victim])
        checked = site.run("up", "--check")
        assert checked.returncode == 1
        assert "does not run" in checked.stdout
        refused = site.run("train", str(tiny), "--as-of", "2017-04-28")
        assert refused.returncode == 1
        assert remark in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
        assert site.json("up")["started"] == [victim]
        assert {name for name, pid in site.pids().items() if pid != kept[victim]} >= set(kept) - {victim}
        assert {name: pid for name, pid in site.pids().items() if name != victim} == {n: p for n, p in kept.items() if n != victim}
        assert [server.port for server in site.stack.servers] == [server.port for server in before.servers]
        assert site.run("up", "--check").returncode == 0


def test_down_ends_a_run_that_is_on_its_way_and_what_was_logged_stays(site: Installation, secrets: Secrets, tiny: Path) -> None:
    """The run says that it was ended; the model that came through the server is read without it; `up` again has the same addresses."""
    site.json("train", str(tiny), "--as-of", "2017-03-31")
    program = """
import sys, time
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
run = run_deployment("train/index-price", timeout=0)
with get_client(sync_client=True) as client:
    while client.read_flow_run(run.id).state_name != "Running":
        time.sleep(0.2)
print(run.id)
"""
    run = site.python(program)
    before = site.stack
    stopped = site.json("down")
    assert stopped["stopped"] == ["worker", "mlflow", "prefect"]
    assert descendants(before) == []
    assert site.run("up", "--check").returncode == 1
    scored = site.json("score", str(tiny), "--as-of", "2017-03-31")
    assert scored["rows"] > 0
    started = site.json("up", str(tiny))
    assert started["started"] == ["prefect", "mlflow", "worker"]
    assert [server.port for server in site.stack.servers] == [server.port for server in before.servers]
    state = ask(f"{site.stack.prefect_api}/flow_runs/{run}", user="finflow", password=secrets.prefect_password).body["state"]
    assert state["type"] in ("CRASHED", "FAILED", "CANCELLED"), state


def test_no_secret_is_in_a_file_a_log_or_a_command(site: Installation, secrets: Secrets) -> None:
    for name in Secrets.__dataclass_fields__:
        assert site.files_with(getattr(secrets, name)) == [f"servers/secrets/{name}"]
    commands = " ".join(" ".join(process.cmdline()) for process in descendants(site.stack))
    assert not [name for name in Secrets.__dataclass_fields__ if getattr(secrets, name) in commands]


def wait_for_the_end(pid: int) -> None:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
