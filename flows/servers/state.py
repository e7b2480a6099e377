"""A home's state is in one database, and stays there."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from finflow.flows.servers.database import VARIABLE, Database
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import Stack


def refuse_another_database(home: Home, before: Stack | None, database: Database | None) -> None:
    """Runs, models and schedules do not move between databases, and the promotions table would name versions that the other one lacks.

    Raises:
        FinflowError: the home's state is in another database than the one asked for.
    """
    kept = before.database if before else None
    wanted = database.place if database else None
    if kept and kept != wanted:
        raise FinflowError(
            f"The servers of this home keep their state in PostgreSQL at {kept}, and {VARIABLE} "
            f"{'names ' + wanted if wanted else 'is not set'}: set it to that one, or FINFLOW_HOME to a new folder."
        )
    if wanted and not kept and _models_in_sqlite(home):
        raise FinflowError(
            f"This home has registered models in {home.mlflow / 'mlflow.db'}, which do not move to PostgreSQL by themselves: "
            f"unset {VARIABLE}, or set FINFLOW_HOME (and FINFLOW_LAKE) to a new folder."
        )


def _models_in_sqlite(home: Home) -> bool:
    path = home.mlflow / "mlflow.db"
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM registered_models").fetchone()[0] > 0
    except sqlite3.Error:
        return False
