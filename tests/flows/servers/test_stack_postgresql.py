"""Both servers over a real PostgreSQL: `up`, a training, a deployment's run, `down`; and no password anywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from finflow.flows.servers.processes import descendants
from finflow.flows.servers.secrets import read_secrets
from tests.support.flows.stack_support import Installation, ask
from tests.support.postgresql import BINARIES, postgresql

PASSWORD = "s3cret-Wort:of/the#desk"
QUOTED = quote(PASSWORD, safe="")


@pytest.mark.slow
def test_servers_over_postgresql(tmp_path: Path, tiny_definition: Path) -> None:
    with postgresql(PASSWORD) as url:
        site = Installation(tmp_path / "home", FINFLOW_DATABASE_URL=url, FINFLOW_SECURE="1")
        early = site.run("train", str(tiny_definition))
        assert early.returncode == 1
        assert "`finflow up` starts them" in early.stderr
        try:
            started = site.json("up", str(tiny_definition))
            assert started["database"] == url.rpartition("@")[2]
            trained = site.json("train", str(tiny_definition), "--as-of", "2017-06-30")
            assert trained["decision"]["reason"]
            commands = " ".join(" ".join(process.cmdline()) for process in descendants(site.stack))
            assert "s3cret" not in commands
            assert site.run("up", "--check").returncode == 0
            secrets = read_secrets(site.home)
            assert ask(f"{site.stack.prefect_api}/flows/filter", {}).status == 401
            settings = ask(f"{site.stack.prefect_api}/admin/settings", user="finflow", password=secrets.prefect_password)
            assert settings.status == 200
            assert "s3cret" not in str(settings.body)
            runs = tables(url, "SELECT count(*) FROM finflow_mlflow.runs WHERE status = 'FINISHED'")
            assert int(runs) >= 4, "the training and its recipes"
            assert int(tables(url, "SELECT count(*) FROM finflow_prefect.flow_run")) == 1
            assert int(tables(url, "SELECT count(*) FROM finflow_mlflow_users.users")) == 1
        finally:
            site.down()
        assert not (site.home.mlflow / "mlflow.db").exists()
        assert not (site.home.prefect / "prefect.db").exists()
        refused = site.run("status", str(tiny_definition), FINFLOW_DATABASE_URL="")
        assert "s3cret" not in refused.stdout + refused.stderr
        other = site.run("up", FINFLOW_DATABASE_URL="")
        assert other.returncode == 1
        assert "keep their state in PostgreSQL" in other.stderr
        for secret in ("s3cret", QUOTED):
            assert site.files_with(secret) == []


@pytest.mark.slow
def test_a_wrong_password_is_said_without_showing_it(tmp_path: Path) -> None:
    with postgresql(PASSWORD) as url:
        site = Installation(tmp_path / "home", FINFLOW_DATABASE_URL=url.replace(QUOTED, "hidden-but-wrong"))
        failed = site.run("up")
        assert failed.returncode == 1
        assert "cannot be used" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert "hidden-but-wrong" not in failed.stdout + failed.stderr
        assert descendants_of(site) == 0


def descendants_of(site: Installation) -> int:
    from finflow.pipelines.core.servers import read_stack

    found = read_stack(site.home.servers)
    return len(descendants(found)) if found else 0


def tables(url: str, query: str) -> str:
    """One value, by PostgreSQL's own client."""
    command = [str(BINARIES / "psql"), url.replace(f":{QUOTED}@", "@"), "-tAc", query]
    done = subprocess.run(command, env={**os.environ, "PGPASSWORD": PASSWORD}, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()
