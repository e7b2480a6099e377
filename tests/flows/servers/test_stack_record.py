"""What `up` keeps, and whom commands turn to because of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from finflow.flows.servers.diagnostics import diagnose
from finflow.flows.servers.environment import prepare_environment
from finflow.flows.servers.secrets import Secrets, make_secrets, read_secrets
from finflow.flows.servers.server import prefect_server
from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import ServerProcess, Stack, read_stack, require_running, write_stack
from finflow.pipelines.tracking.store import artifact_repository, store_client

GONE = (999_999_999, 1.0)


def running(name: str, port: int) -> ServerProcess:
    """This very process, under the name of a server."""
    return ServerProcess(name, port, os.getpid(), psutil.Process().create_time())


def stack_of(*servers: ServerProcess, up: bool = True, secure: bool = False, database: str | None = None) -> Stack:
    return Stack("token", up, secure, "127.0.0.1", database, servers or (running("prefect", 1), running("mlflow", 2), running("worker", 3)))


def keep(home: Home, stack: Stack) -> None:
    home.servers.mkdir(parents=True, exist_ok=True)
    write_stack(home.servers, stack)


@pytest.fixture(autouse=True)
def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "PREFECT_API_URL",
        "FINFLOW_DATABASE_URL",
        "PREFECT_API_AUTH_STRING",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
    ):
        monkeypatch.delenv(name, raising=False)


def test_what_is_kept_is_read_again(home: Home) -> None:
    assert read_stack(home.servers) is None
    kept = stack_of(secure=True, database="db:5432/finflow")
    keep(home, kept)
    assert read_stack(home.servers) == kept
    assert [path.name for path in home.servers.iterdir()] == ["stack.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "servers": [{"pid": 1}]}'])
def test_a_damaged_record_is_named(home: Home, text: str) -> None:
    home.servers.mkdir(parents=True)
    (home.servers / "stack.json").write_text(text)
    with pytest.raises(StateError, match=r"stack\.json"):
        read_stack(home.servers)


def test_commands_use_the_servers_while_they_are_up(home: Home) -> None:
    assert Home.from_environment() == home
    keep(home, stack_of())
    found = Home.from_environment()
    assert (found.prefect_api, found.tracking_uri) == ("http://127.0.0.1:1/api", "http://127.0.0.1:2")
    with prefect_server(found) as api:
        assert api == "http://127.0.0.1:1/api"
    keep(home, stack_of(up=False))
    assert Home.from_environment() == home


def test_what_the_environment_says_goes_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(home, stack_of())
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:4200/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    found = Home.from_environment()
    assert (found.prefect_api, found.tracking_uri) == ("http://elsewhere:4200/api", "http://elsewhere:5000")


def test_a_server_that_has_ended_is_said_in_one_line(home: Home) -> None:
    keep(home, stack_of(ServerProcess("prefect", 1, *GONE), running("mlflow", 2), running("worker", 3)))
    found = Home.from_environment()
    with pytest.raises(StateError, match=r"The Prefect server of this home has ended.*prefect\.log.*`finflow up`"), prefect_server(found):
        pass
    keep(home, stack_of(running("prefect", 1), ServerProcess("mlflow", 2, *GONE), running("worker", 3)))
    for use in (lambda: store_client(found), lambda: prefect_server(found).__enter__()):
        with pytest.raises(StateError, match=r"The MLflow server of this home has ended.*mlflow\.log.*`finflow up`"):
            use()
    require_running(home.servers, "mlflow", "http://127.0.0.1:20")  # somebody else's, whose address begins the same
    require_running(home.servers, "mlflow", "http://elsewhere:2")


def test_a_server_that_ends_under_a_command_is_named(home: Home) -> None:
    keep(home, stack_of())
    found = Home.from_environment()
    keep(home, stack_of(running("prefect", 1), ServerProcess("mlflow", 2, *GONE), running("worker", 3)))
    said = diagnose(found)
    assert said is not None
    assert said.startswith("The MLflow server of this home has ended")


def test_state_in_postgresql_is_never_replaced_by_a_local_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    none = tuple(ServerProcess(name, port) for port, name in enumerate(("prefect", "mlflow", "worker"), 1))
    keep(home, stack_of(*none, up=False, database="db:5432/finflow"))
    found = Home.from_environment()
    for use in (lambda: store_client(found), lambda: prefect_server(found).__enter__()):
        with pytest.raises(StateError, match=r"db:5432/finflow.*`finflow up`"):
            use()
    (home.servers / "stack.json").unlink()
    monkeypatch.setenv("FINFLOW_DATABASE_URL", "postgresql://desk:secret@db/finflow")
    for use in (lambda: store_client(home), lambda: prefect_server(home).__enter__()):
        with pytest.raises(StateError, match="`finflow up`"):
            use()
    assert not home.mlflow.exists()


def test_credentials_are_made_once_for_their_owner_alone(home: Home) -> None:
    made = make_secrets(home)
    assert make_secrets(home) == made == read_secrets(home)
    assert len({made.prefect_password, made.mlflow_password, made.mlflow_key}) == 3
    assert min(map(len, (made.prefect_password, made.mlflow_password, made.mlflow_key))) >= 43, "256 bits each"
    folder = home.servers / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert made.mlflow_password not in repr(made)
    (folder / "mlflow_key").chmod(0o640)
    with pytest.raises(StateError, match="open to others"):
        read_secrets(home)


@pytest.mark.parametrize("value", ["", "short"])
def test_credentials_that_are_not_safe_are_refused(home: Home, value: str) -> None:
    make_secrets(home)
    (home.servers / "secrets" / "mlflow_password").write_text(value)
    with pytest.raises(StateError, match="too short"):
        read_secrets(home)


def environment_of(home: Home, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with monkeypatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("PREFECT_", "MLFLOW_")):
                patch.delenv(name)
        before = dict(os.environ)
        prepare_environment(home)
        found = dict(os.environ)
        os.environ.clear()
        os.environ.update(before)
    return found


def test_credentials_go_to_this_home_s_servers_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: Secrets = make_secrets(home)
    keep(home, stack_of(secure=True))
    own = environment_of(Home.from_environment(), monkeypatch)
    assert own["PREFECT_API_AUTH_STRING"] == f"finflow:{secrets.prefect_password}"
    assert (own["MLFLOW_TRACKING_USERNAME"], own["MLFLOW_TRACKING_PASSWORD"]) == ("finflow", secrets.mlflow_password)
    elsewhere = replace(Home.from_environment(), prefect_api="http://elsewhere/api", tracking_uri="http://elsewhere")
    other = environment_of(elsewhere, monkeypatch)
    assert not {"PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} & set(other)
    assert secrets.mlflow_password not in str(other)


def test_artifacts_of_a_server_are_found_when_it_is_down(home: Home, tmp_path: Path) -> None:
    repository = artifact_repository("mlflow-artifacts:/7/a%20b/artifacts", home.tracking_uri)
    (tmp_path / "note.txt").write_text("kept")
    repository.log_artifact(str(tmp_path / "note.txt"))
    assert (home.mlflow / "artifacts" / "7" / "a b" / "artifacts" / "note.txt").read_text() == "kept"
    with pytest.raises(StateError, match="points outside"):
        artifact_repository("mlflow-artifacts:/../../secret", home.tracking_uri)
    remote = artifact_repository("mlflow-artifacts:/7", "http://127.0.0.1:5000")
    assert remote.artifact_uri == "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/7"
