"""A real PostgreSQL 15 in a folder of its own, from its binaries (Debian's package `postgresql`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from finflow.flows.servers.server import free_port

BINARIES = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def postgresql(password: str) -> Iterator[str]:
    """The URL of an empty database, its owner `desk` no superuser; the server listens on loopback and ends with the block.

    Its folder is not among pytest's, which are for their owner alone: called by root, PostgreSQL runs as another user.
    Skips the test where the binaries are missing.
    """
    if not (BINARIES / "initdb").exists():
        pytest.skip(f"PostgreSQL 15 is not in {BINARIES}: apt-get install postgresql")
    as_user: list[str] = []
    with tempfile.TemporaryDirectory(prefix="finflow-postgresql-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            runuser = shutil.which("runuser")
            assert runuser, "runuser belongs to util-linux"
            as_user = [runuser, "-u", "nobody", "--"]
            shutil.chown(folder, "nobody")
        data, port = folder / "data", free_port()
        secret = folder / "superuser"
        secret.write_text("superuser-only\n")
        secret.chmod(0o644)

        def call(program: str, *arguments: str, **extra: str) -> None:
            command, environment = [*as_user, str(BINARIES / program), *arguments], {**os.environ, **extra}
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode == 0, f"{program}: {done.stdout}\n{done.stderr}"

        call("initdb", "-D", str(data), "-U", "superuser", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        call("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            where = ("-h", "127.0.0.1", "-p", str(port), "-U", "superuser", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-q")
            for statement in (f"CREATE ROLE desk LOGIN PASSWORD '{password}'", "CREATE DATABASE finflow OWNER desk"):
                call("psql", *where, "-c", statement, PGPASSWORD="superuser-only")
            yield f"postgresql://desk:{quote(password, safe='')}@127.0.0.1:{port}/finflow"
        finally:
            call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
