"""A real PostgreSQL 15 in a folder of its own, from its binaries (Debian's package `postgresql`)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.server import free_port

BINARIES = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def postgresql(folder: Path, password: str) -> Iterator[str]:
    """The URL of an empty database, its owner no superuser; the server listens on loopback and ends with the block.

    Skips the test where the binaries are missing.
    """
    if not (BINARIES / "initdb").exists():
        pytest.skip(f"PostgreSQL 15 is not in {BINARIES}: apt-get install postgresql")
    folder.mkdir(parents=True)
    as_user: list[str] = []
    if os.geteuid() == 0:  # it refuses to run as root
        runuser = shutil.which("runuser")
        assert runuser, "runuser belongs to util-linux"
        as_user = [runuser, "-u", "nobody", "--"]
        _open_to_others(folder)
        shutil.chown(folder, "nobody")
    data, port = folder / "data", free_port()
    secret = folder / "superuser"
    secret.write_text("superuser-only\n")
    secret.chmod(0o644)

    def call(program: str, *arguments: str, **extra: str) -> None:
        command = [*as_user, str(BINARIES / program), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **extra}, timeout=120)
        assert done.returncode == 0, f"{program}: {done.stdout}\n{done.stderr}"

    call("initdb", "-D", str(data), "-U", "superuser", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    call("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        where = ("-h", "127.0.0.1", "-p", str(port), "-U", "superuser", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-q")
        for statement in (f"CREATE ROLE desk LOGIN PASSWORD '{password}'", "CREATE DATABASE finflow OWNER desk"):
            call("psql", *where, "-c", statement, PGPASSWORD="superuser-only")
        yield f"postgresql://desk:{password}@127.0.0.1:{port}/finflow"
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


def _open_to_others(folder: Path) -> None:
    """pytest's temporary folders are for their owner alone; another user must be able to walk through them."""
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
