"""How the servers are started: what they listen on, what they ask for, and where no secret may stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from finflow.flows.servers.database import parse_database
from finflow.flows.servers.plan import NAMES, Start, client_environment, plan_mlflow, plan_prefect, plan_worker, users_settings
from finflow.flows.servers.secrets import make_secrets
from finflow.flows.servers.settings import ServerSettings, read_settings
from finflow.flows.servers.state import refuse_another_database
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.redaction import redacted
from finflow.pipelines.core.servers import ServerProcess, Stack

STACK = Stack("token", False, False, "127.0.0.1", None, tuple(ServerProcess(name, 4000 + place) for place, name in enumerate(NAMES)))
DATABASE = parse_database("postgresql://desk:p%40ss-word@db.example:6543/finflow?sslmode=require")


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FINFLOW_SECURE", "FINFLOW_SERVERS", "FINFLOW_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def plans(home: Home, settings: ServerSettings, secure: bool = False, database: bool = False) -> dict[str, Start]:
    secrets = make_secrets(home) if secure else None
    stack = replace(STACK, secure=secure, host=settings.client_host)
    kept = DATABASE if database else None
    made = (
        plan_prefect(home, stack, settings, secrets, kept),
        plan_mlflow(home, stack, settings, secrets, kept),
        plan_worker(home, stack, settings, secrets),
    )
    return {start.name: start for start in made}


def test_everything_listens_on_loopback_unless_told_otherwise(home: Home) -> None:
    made = plans(home, ServerSettings())
    for name in ("prefect", "mlflow"):
        command = made[name].command
        assert command[command.index("--host") + 1] == "127.0.0.1"
    assert made["worker"].environment["PREFECT_WORKER_WEBSERVER_HOST"] == "127.0.0.1"
    wide = plans(home, ServerSettings(secure=True, host="0.0.0.0"), secure=True)
    assert "0.0.0.0" in wide["prefect"].command
    assert "0.0.0.0" in wide["mlflow"].command
    assert wide["worker"].environment["PREFECT_WORKER_WEBSERVER_HOST"] == "127.0.0.1"
    assert wide["worker"].environment["PREFECT_API_URL"] == "http://127.0.0.1:4000/api"


def test_no_secret_stands_in_a_command(home: Home) -> None:
    made = plans(home, ServerSettings(secure=True), secure=True, database=True)
    secrets = make_secrets(home)
    hidden = (secrets.prefect_password, secrets.mlflow_password, secrets.mlflow_key, "p@ss-word", "p%40ss-word")
    for start in made.values():
        assert not [secret for secret in hidden if secret in " ".join(start.command) or secret in repr(start)]
    urls = {name: value for start in made.values() for name, value in start.environment.items() if "://" in value}
    assert not [name for name, value in urls.items() if "ss-word" in value]
    assert made["prefect"].environment["PGPASSWORD"] == made["mlflow"].environment["PGPASSWORD"] == "p@ss-word"
    assert "PGPASSWORD" not in made["worker"].environment, "flow runs reach no database"
    assert "ss-word" not in users_settings(home, DATABASE)


def test_each_server_has_a_schema_of_its_own(home: Home) -> None:
    made = plans(home, ServerSettings(), database=True)
    prefect, mlflow = made["prefect"].environment, made["mlflow"].environment
    assert prefect["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://desk@db.example:6543/finflow"
    assert prefect["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"] == "finflow_prefect, public"
    uri = "postgresql+psycopg2://desk@db.example:6543/finflow?options=-csearch_path%3Dfinflow_mlflow"
    assert mlflow["MLFLOW_BACKEND_STORE_URI"] == uri
    assert prefect["PGSSLMODE"] == mlflow["PGSSLMODE"] == "require"
    assert "finflow_mlflow_users" in users_settings(home, DATABASE)


def test_what_a_person_set_for_commands_is_not_handed_to_servers(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("FINFLOW_DATABASE_URL", "postgresql://a:hidden-one@b/c")
    monkeypatch.setenv("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true")
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", "elsewhere.ini")
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:///elsewhere.db")
    for start in plans(home, ServerSettings()).values():
        assert not [name for name, value in start.environment.items() if "elsewhere" in value or "hidden-one" in value]
        assert "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE" not in start.environment
    assert "MLFLOW_TRACKING_URI" not in plans(home, ServerSettings())["mlflow"].environment


def test_flow_runs_find_the_lake_from_any_folder(home: Home) -> None:
    for lake, found in (("lake", str(Path("lake").resolve())), ("s3://bucket/lake", "s3://bucket/lake")):
        made = plans(replace(home, lake=lake), ServerSettings())
        assert made["worker"].environment["FINFLOW_LAKE"] == found


def test_services_on_jobs_off_results_as_json(home: Home) -> None:
    made = plans(home, ServerSettings())
    prefect = made["prefect"].environment
    assert prefect["PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED"] == prefect["PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED"] == "true"
    assert made["mlflow"].environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    for start in made.values():
        assert start.environment["PREFECT_RESULTS_DEFAULT_SERIALIZER"] == "json"
        assert start.environment["PREFECT_RESULTS_PERSIST_BY_DEFAULT"] == "false"


def test_only_named_hosts_and_origins(home: Home) -> None:
    settings = ServerSettings(secure=True, host="0.0.0.0", allowed_hosts=("finflow.desk.example",), origins=("https://wiki.desk.example",))
    made = plans(home, settings, secure=True)
    assert made["mlflow"].environment["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",") == [
        "localhost:*",
        "127.0.0.1:*",
        "finflow.desk.example:*",
        "localhost",
        "127.0.0.1",
        "finflow.desk.example",
    ]
    assert made["prefect"].environment["FINFLOW_ALLOWED_HOSTS"] == "localhost,127.0.0.1,finflow.desk.example"
    origins = made["prefect"].environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert origins == ["http://127.0.0.1:4000", "http://localhost:4000", "https://wiki.desk.example"]


def test_clients_get_credentials_only_from_secured_servers(home: Home) -> None:
    assert set(client_environment(STACK, None)) == {"PREFECT_API_URL", "MLFLOW_TRACKING_URI"}
    secrets = make_secrets(home)
    assert client_environment(STACK, secrets)["MLFLOW_TRACKING_PASSWORD"] == secrets.mlflow_password


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host: 0.0.0.0", "set `secure: true`"),
        ("host: example.org", "IPv4"),
        ("allowed_hosts: ['*']\nsecure: true", "every host"),
        ("prefect_port: 5000\nmlflow_port: 5000", "both 5000"),
        ("prefect_port: 0", "prefect_port"),
        ("port: 1", "port"),
        ("- secure", "keys and values"),
        ("secure: [", "cannot be read"),
    ],
)
def test_settings_that_are_not_safe_are_refused(home: Home, text: str, said: str) -> None:
    home.root.mkdir(parents=True)
    (home.root / "servers.yaml").write_text(text)
    with pytest.raises(FinflowError, match=said):
        read_settings(home)


def test_settings_come_from_the_named_file_and_the_environment(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(home) == ServerSettings()
    monkeypatch.setenv("FINFLOW_SECURE", "1")
    assert read_settings(home).secure
    (tmp_path / "shared.yaml").write_text("secure: true\nprefect_port: 4200\n")
    monkeypatch.setenv("FINFLOW_SERVERS", str(tmp_path / "shared.yaml"))
    monkeypatch.setenv("FINFLOW_SECURE", "0")
    assert read_settings(home) == ServerSettings(prefect_port=4200)
    monkeypatch.setenv("FINFLOW_SERVERS", str(tmp_path / "absent.yaml"))
    with pytest.raises(FinflowError, match=r"absent\.yaml"):
        read_settings(home)
    monkeypatch.delenv("FINFLOW_SERVERS")
    monkeypatch.setenv("FINFLOW_SECURE", "yes")
    with pytest.raises(FinflowError, match="1 or 0"):
        read_settings(home)


def test_the_shared_setting_that_is_shipped_holds(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = Path(__file__).resolve().parents[3] / "infra" / "servers" / "shared.yaml"
    monkeypatch.setenv("FINFLOW_SERVERS", str(shipped))
    assert read_settings(home).secure


@pytest.mark.parametrize(
    ("url", "place", "secret"),
    [
        ("postgresql://desk:word-1@db/finflow", "db:5432/finflow", "word-1"),
        ("postgres+psycopg2://desk:word-2@db:1/finflow", "db:1/finflow", "word-2"),
        ("postgresql://desk@db/finflow?password=word-3", "db:5432/finflow", "word-3"),
        ("postgresql://desk@/finflow?host=/var/run/postgresql", "/var/run/postgresql:5432/finflow", None),
    ],
)
def test_the_password_is_taken_out_of_the_url(url: str, place: str, secret: str | None) -> None:
    found = parse_database(url)
    assert found.place == place
    assert found.environment.get("PGPASSWORD") == secret
    for shown in (found.url("asyncpg"), found.url("psycopg2", "s"), repr(found)):
        assert "word-" not in shown
    if secret:
        assert secret not in redacted(f"could not connect with {secret}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://desk:hidden-1@db/finflow", "PostgreSQL"),
        ("hidden-1", "no URL"),
        ("postgresql://desk:hidden-1@db", "database name"),
        ("postgresql://db/finflow?password=hidden-1", "needs a user"),
        ("postgresql://desk:hidden-1@db/finflow?pool=3", "pool"),
        ("postgresql://desk:hidden-1@db:port/finflow", "no URL"),
    ],
)
def test_other_databases_are_refused_without_showing_the_password(url: str, said: str) -> None:
    with pytest.raises(FinflowError, match=said) as raised:
        parse_database(url)
    assert "hidden-1" not in str(raised.value)


def test_a_home_stays_with_its_database(home: Home) -> None:
    import sqlite3
    from contextlib import closing

    refuse_another_database(home, None, None)
    refuse_another_database(home, None, DATABASE)
    kept = replace(STACK, database=DATABASE.place)
    refuse_another_database(home, kept, DATABASE)
    with pytest.raises(FinflowError, match="is not set"):
        refuse_another_database(home, kept, None)
    with pytest.raises(FinflowError, match="names other:5432/finflow"):
        refuse_another_database(home, kept, parse_database("postgresql://desk@other/finflow"))
    home.mlflow.mkdir(parents=True)
    with closing(sqlite3.connect(home.mlflow / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE registered_models (name TEXT)")
        connection.commit()
        refuse_another_database(home, STACK, DATABASE)
        connection.execute("INSERT INTO registered_models VALUES ('tiny')")
        connection.commit()
    refuse_another_database(home, STACK, None)
    with pytest.raises(FinflowError, match="do not move to PostgreSQL"):
        refuse_another_database(home, STACK, DATABASE)
