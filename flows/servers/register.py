"""`python -m finflow.flows.servers.register [NAME]...`: pool, deployments and automations on the Prefect server of PREFECT_API_URL.

`finflow up` does the same for the servers that it starts; this is for servers that something else runs (Compose, Kubernetes).
"""

from __future__ import annotations

import sys

from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home


def main(names: list[str]) -> int:
    """Register the shipped definitions and those named; the exit code."""
    try:
        home = Home.from_environment()
        prepare_environment(home)
        from finflow.flows.deployments.automations import apply_automations
        from finflow.flows.deployments.register import register_deployments

        registered = register_deployments(home, names)
        applied = apply_automations(home)
    except FinflowError as error:
        sys.stderr.write(f"finflow: {error}\n")
        return 1
    sys.stdout.write(f"{len(registered)} deployments, {len(applied)} automations\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
