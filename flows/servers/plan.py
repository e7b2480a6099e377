"""How each server of the stack is started: its command and its environment. No secret stands in a command, which every user can list."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from finflow.flows.runs import POOL
from finflow.flows.servers.database import MLFLOW_SCHEMA, MLFLOW_USERS_SCHEMA, PREFECT_SCHEMA, VARIABLE, Database
from finflow.flows.servers.secrets import USER, Secrets
from finflow.flows.servers.settings import LOOPBACK, ServerSettings
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import Stack

TOKEN, ROLE = "FINFLOW_STACK", "FINFLOW_STACK_ROLE"  # in the environment of what `up` starts, and of its children
NAMES = ("prefect", "mlflow", "worker")

# What the person who calls `up` has set for commands or for servers of other homes, or what belongs to another process of the stack.
_NOT_INHERITED = (
    "PREFECT_API_URL",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_PROFILE",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_DATABASE_",
    "PREFECT_API_DATABASE_",
    "MLFLOW_TRACKING_",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_ARTIFACTS_",
    "MLFLOW_SERVER_",
    "MLFLOW_AUTH_",
    "MLFLOW_FLASK_",
    "FINFLOW_SERVERS",
    "FINFLOW_SECURE",
    VARIABLE,
)


@dataclass(frozen=True)
class Start:
    """A process to start. Its environment may hold secrets: it is never shown."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)


def plan_prefect(home: Home, stack: Stack, settings: ServerSettings, secrets: Secrets | None, database: Database | None) -> Start:
    """The Prefect server, with its scheduler and the search for late runs."""
    url = settings.prefect_url or stack.address("prefect")
    environment = {
        **_common(home, stack, "prefect"),
        "PREFECT_API_URL": stack.prefect_api,
        "PREFECT_UI_API_URL": f"{url.rstrip('/')}/api",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(_origins(stack, "prefect", settings)),
        "FINFLOW_ALLOWED_HOSTS": ",".join(_hosts(settings)),
        # On SQLite a write waits for the one before it: longer than the 10 s after which Prefect would say "database is locked".
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    }
    if secrets:
        environment["PREFECT_SERVER_API_AUTH_STRING"] = environment["PREFECT_API_AUTH_STRING"] = secrets.prefect
    if database:
        environment |= database.environment
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.url("asyncpg")
        environment["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"] = f"{PREFECT_SCHEMA}, public"
    return Start("prefect", _uvicorn("finflow.flows.servers.applications:create_prefect", stack, "prefect", settings), environment)


def plan_mlflow(home: Home, stack: Stack, settings: ServerSettings, secrets: Secrets | None, database: Database | None) -> Start:
    """The MLflow server: it passes artifacts on, and executes no jobs."""
    hosts = [f"{host}:*" for host in _hosts(settings)] + _hosts(settings)
    environment = {
        **_common(home, stack, "mlflow"),
        "MLFLOW_BACKEND_STORE_URI": database.url("psycopg2", MLFLOW_SCHEMA) if database else f"sqlite:///{home.mlflow / 'mlflow.db'}",
        "MLFLOW_ARTIFACTS_DESTINATION": str(home.mlflow / "artifacts"),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(_origins(stack, "mlflow", settings)),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
    }
    if database:
        environment |= database.environment
    if secrets:
        environment |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(users_file(home)),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": secrets.mlflow_password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.mlflow_key,
        }
    return Start("mlflow", _uvicorn("finflow.flows.servers.applications:create_mlflow", stack, "mlflow", settings), environment)


def plan_worker(home: Home, stack: Stack, settings: ServerSettings, secrets: Secrets | None) -> Start:
    """The worker of the pool; a flow run is a process of its own under it."""
    environment = {
        **_common(home, stack, "worker"),
        **client_environment(stack, secrets),
        "PREFECT_WORKER_WEBSERVER_HOST": LOOPBACK,
        "PREFECT_WORKER_WEBSERVER_PORT": str(stack.server("worker").port),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    }
    command = (sys.executable, "-m", "finflow.flows.servers.worker", "--name", POOL, "--limit", str(settings.runs), "--with-healthcheck")
    return Start("worker", command, environment)


def client_environment(stack: Stack, secrets: Secrets | None) -> dict[str, str]:
    """What a command or a flow run needs to use these servers."""
    environment = {"PREFECT_API_URL": stack.prefect_api, "MLFLOW_TRACKING_URI": stack.address("mlflow")}
    if secrets:
        environment["PREFECT_API_AUTH_STRING"] = secrets.prefect
        environment["MLFLOW_TRACKING_USERNAME"] = USER
        environment["MLFLOW_TRACKING_PASSWORD"] = secrets.mlflow_password
    return environment


def users_file(home: Home) -> Path:
    """MLflow's settings of its users."""
    return home.servers / "mlflow-users.ini"


def users_settings(home: Home, database: Database | None) -> str:
    """What stands in `users_file`: who is known may read, and write only what is theirs or granted. No password is in it."""
    users = database.url("psycopg2", MLFLOW_USERS_SCHEMA) if database else f"sqlite:///{home.servers / 'mlflow-users.db'}"
    lines = [
        "[mlflow]",
        "default_permission = READ",
        f"database_uri = {users.replace('%', '%%')}",
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
        "auth_cache_ttl_seconds = 60",  # one process serves, so that a change of a password is seen at once
    ]
    return "\n".join(lines) + "\n"


def _common(home: Home, stack: Stack, name: str) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)},
        TOKEN: stack.token,
        ROLE: name,
        "FINFLOW_HOME": str(home.root),
        "FINFLOW_LAKE": home.lake if "://" in home.lake else str(Path(home.lake).expanduser().resolve()),
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    }


def _uvicorn(factory: str, stack: Stack, name: str, settings: ServerSettings) -> tuple[str, ...]:
    listen = ("--host", settings.host, "--port", str(stack.server(name).port))
    return (
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        factory,
        "--app-dir",
        sys.prefix,  # nothing to import lies there: not the folder that a person stands in, which may hold anything
        *listen,
        "--log-level",
        "warning",
        "--lifespan",
        "on",
    )


def _hosts(settings: ServerSettings) -> list[str]:
    """Names in the Host header that are answered: against pages that make a name of theirs point to loopback."""
    return list(dict.fromkeys(("localhost", "127.0.0.1", settings.client_host, *settings.allowed_hosts)))


def _origins(stack: Stack, name: str, settings: ServerSettings) -> list[str]:
    port = stack.server(name).port
    local = [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost")]
    return list(dict.fromkeys((*local, *([settings.prefect_url.rstrip("/")] if settings.prefect_url else []), *settings.origins)))
