"""FINFLOW_DATABASE_URL: one PostgreSQL database for both servers, each in a schema of its own (both keep an `alembic_version` table).

The password never enters a URL or an argument: it goes to the servers as PGPASSWORD, in their environment, which libpq and asyncpg read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.redaction import redacted, remember

VARIABLE = "FINFLOW_DATABASE_URL"
PREFECT_SCHEMA, MLFLOW_SCHEMA, MLFLOW_USERS_SCHEMA = "finflow_prefect", "finflow_mlflow", "finflow_mlflow_users"
_SCHEMAS = (PREFECT_SCHEMA, MLFLOW_SCHEMA, MLFLOW_USERS_SCHEMA)

# Query parameters of the URL that both drivers take from the environment instead.
_FROM_ENVIRONMENT = {
    "password": "PGPASSWORD",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database.

    Attributes:
        place: `host:port/name`, fit to be shown and kept.
        environment: what its clients need beside a URL: the password and the settings of TLS.
    """

    place: str
    user: str
    host: str
    port: int
    name: str
    environment: dict[str, str] = field(repr=False)

    def url(self, driver: str, schema: str | None = None) -> str:
        """A SQLAlchemy URL without a password; `schema` (of psycopg2) is the one that tables are made and found in."""
        from sqlalchemy.engine import URL

        socket = self.host.startswith("/")
        query = {"host": self.host} if socket else {}
        if schema:
            query["options"] = f"-csearch_path={schema}"
        made = URL.create(
            f"postgresql+{driver}",
            username=self.user,
            host=None if socket else self.host,
            port=self.port,
            database=self.name,
            query=query,
        )
        return made.render_as_string(hide_password=False)


def database_from_environment() -> Database | None:
    """What FINFLOW_DATABASE_URL says; None where it is not set.

    Raises:
        FinflowError: it is no PostgreSQL URL; the message shows no password.
    """
    text = os.environ.get(VARIABLE)
    return parse_database(text) if text else None


def parse_database(text: str) -> Database:
    """A URL such as `postgresql://user:password@host:5432/name?sslmode=require`.

    Raises:
        FinflowError: it is none; the message shows no password.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise FinflowError(f"{VARIABLE} is no URL such as postgresql://user:password@host:5432/name") from None
    shown = redacted(url.render_as_string(hide_password=True))
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise FinflowError(f"{VARIABLE}: the servers use PostgreSQL (postgresql://...) or, without it, SQLite; got {shown}")
    query = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
    host = url.host or query.pop("host", None)
    if not host or not url.database or not url.username:
        raise FinflowError(f"{VARIABLE} needs a user, a host and a database name, got {shown}")
    environment = {_FROM_ENVIRONMENT[key]: query.pop(key) for key in list(query) if key in _FROM_ENVIRONMENT}
    if query:
        raise FinflowError(f"{VARIABLE}: the parameters {', '.join(sorted(query))} are not known; there are {', '.join(_FROM_ENVIRONMENT)}")
    if url.password:
        environment["PGPASSWORD"] = str(url.password)
    if "PGPASSWORD" in environment:
        remember(VARIABLE, environment["PGPASSWORD"])
    port = url.port or 5432
    return Database(f"{host}:{port}/{url.database}", url.username, host, port, url.database, environment)


def make_schemas(database: Database) -> None:
    """The servers' schemas exist after this.

    Raises:
        FinflowError: the database cannot be reached, or its user may not make them.
    """
    import psycopg2

    arguments = {"password": database.environment.get("PGPASSWORD")}
    arguments |= {name: database.environment[variable] for name, variable in _FROM_ENVIRONMENT.items() if variable in database.environment}
    try:
        connection = psycopg2.connect(
            user=database.user, host=database.host, port=database.port, dbname=database.name, connect_timeout=15, **arguments
        )
    except psycopg2.Error as error:
        raise FinflowError(f"{VARIABLE}: PostgreSQL at {database.place} cannot be used: {redacted(str(error).strip())}") from None
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))  # two homes may start at once, and IF NOT EXISTS can still collide
            for schema in _SCHEMAS:
                cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    except psycopg2.Error as error:
        raise FinflowError(
            f"{VARIABLE}: {database.place}: {redacted(str(error).strip())} (the user must be allowed to make schemas)"
        ) from None
    finally:
        connection.close()


_LOCK = 0x66696E666C6F77  # "finflow"
