"""`python -m flows.register [NAME]...`: pool, deployments and automations on the Prefect server of PREFECT_API_URL.

`finflow up` does the same for the servers that it starts; this is for servers that something else runs (Compose, Kubernetes).
"""

from __future__ import annotations

import sys

from flows.environment import prepare_environment
from pipelines.errors import FinflowError
from pipelines.home import Home


def main(names: list[str]) -> int:
    """Register the shipped definitions and those named; the exit code."""
    try:
        home = Home.from_environment()
        prepare_environment(home)
        from flows.automations import apply_automations
        from flows.deployments import register_deployments

        registered = register_deployments(home, names)
        applied = apply_automations(home)
    except FinflowError as error:
        sys.stderr.write(f"finflow: {error}\n")
        return 1
    sys.stdout.write(f"{len(registered)} deployments, {len(applied)} automations\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
