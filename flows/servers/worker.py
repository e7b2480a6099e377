"""`python -m finflow.flows.servers.worker [OPTION]...`: a worker of the pool that does not meet the runs which were missed while there was
none.

`finflow up`, Compose and Kubernetes start their workers so, and so does a person. Of the runs that schedules missed only each deployment's
newest is left, before the worker asks for any: forty at once would load the server (SQLite says "database is locked"), each for a process
that gives way to the next. Options are those of `prefect worker start` (`--limit 4`, `--name`); the process then is that command's.
"""

from __future__ import annotations

import os
import sys

from finflow.flows.deployments.plan import POOL_TYPE
from finflow.flows.runs import POOL
from finflow.flows.runs.missed_runs import supersede_missed
from finflow.flows.servers.diagnostics import diagnose
from finflow.flows.servers.environment import prepare_environment
from finflow.flows.servers.settings import LOOPBACK
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home

#: a run is taken up when its time has come, not before: until then its process would only wait, and hold a place
_AHEAD = "0"


def main(options: list[str]) -> int:
    """Supersede what was missed, then become the worker; the exit code, where it does not come to that."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO")  # a command's console is its own; a worker's is its log
    os.environ.setdefault("PREFECT_WORKER_WEBSERVER_HOST", LOOPBACK)  # with --with-healthcheck; Prefect's default is every interface
    try:
        home = Home.from_environment()
        prepare_environment(home)
        superseded = _superseded(home)
    except FinflowError as error:
        sys.stderr.write(f"finflow: {error}\n")
        return 1
    sys.stderr.write(f"finflow: {superseded} missed runs superseded\n")
    sys.stderr.flush()
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", POOL_TYPE, "--install-policy", "never"]
    os.execv(sys.executable, [*command, "--prefetch-seconds", _AHEAD, *options])


def _superseded(home: Home) -> int:
    """How many runs were superseded.

    Raises:
        FinflowError: there is no Prefect server to work for.
    """
    if not home.prefect_api:
        raise FinflowError("a worker needs a Prefect server: start one with `finflow up`, or set PREFECT_API_URL.")
    try:
        return supersede_missed()
    except Exception as error:
        said = diagnose(home, error)
        if said is None:
            raise
        raise FinflowError(said) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
