"""The Prefect server as finflow runs it: `uvicorn --factory finflow.flows.servers.prefect_application:create_app`."""

from __future__ import annotations

import logging
import os
from typing import Any

_SETTINGS = {
    # In memory, leases of concurrency slots are lost with the server: runs that outlive it would lose their slots and be cancelled.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # A run that has not begun so long after its time raises an alert; Prefect's 15 s are less than a busy worker takes.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "120",
}


def create_app() -> Any:
    """Prefect's own application, with finflow's alert block known to it; what a person has set in the environment stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from prefect.server.api.server import create_app as prefect_app

    import finflow.flows.deployments.alert_block  # noqa: F401 - its class registers itself

    # httpx logs every request's URL, and a webhook's URL is a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return prefect_app()
