"""Empty SQLite databases of Prefect and MLflow, kept as this user first made them: their migrations take seconds, a copy takes none.

They lie in FINFLOW_CACHE (default: `finflow` in XDG_CACHE_HOME or ~/.cache), one a release. A template holds a schema and what the library
itself writes as it starts, and nothing of any home: a database with rows in other tables is not kept.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from finflow.pipelines.core.whole_files import whole_file

#: by library, the tables that have rows before anybody has used the database
_OWN_ROWS = {
    "prefect": frozenset({"alembic_version", "block_schema", "block_schema_reference", "block_type"}),
    "mlflow": frozenset({"alembic_version", "experiments", "workspaces"}),
}


def template_of(library: str) -> Path:
    """Where the template of the installed release of `library` is, or will be."""
    cache = os.environ.get("FINFLOW_CACHE")
    folder = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "finflow"
    return folder.expanduser() / f"{library}-{version(library)}.db"


def begin_from_template(library: str, path: Path) -> bool:
    """Put a copy of the template at `path`; False, and nothing is done, where there is no template or `path` is there already."""
    template = template_of(library)
    if path.exists() or not template.is_file():
        return False
    with whole_file(path) as part:
        shutil.copyfile(template, part)
    return True


def keep_as_template(library: str, path: Path) -> None:
    """Keep a database that nobody has used yet as the template of its release, unless there is one.

    Where the folder cannot be written nothing is kept: the next home is made as slowly as this one.
    """
    template = template_of(library)
    if template.is_file() or not path.is_file():
        return
    with suppress(OSError, sqlite3.Error, _UsedError):
        template.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with whole_file(template) as part, closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
            if not _tables_with_rows(target) <= _OWN_ROWS[library]:
                raise _UsedError


class _UsedError(Exception):
    """The database holds what somebody has put there."""


def _tables_with_rows(database: sqlite3.Connection) -> set[str]:
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name for name in names if database.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()}
