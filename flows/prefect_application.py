"""The Prefect server as finflow runs it: `uvicorn --factory flows.prefect_application:create_app`."""

from __future__ import annotations

import logging
import os
from typing import Any


def create_app() -> Any:
    """Prefect's own application, with finflow's alert block known to it and leases of concurrency slots on disk.

    In memory, leases would be lost with the server, and runs that outlive it would lose their slots and be cancelled.
    """
    os.environ.setdefault("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "prefect.server.concurrency.lease_storage.filesystem")
    from prefect.server.api.server import create_app as prefect_app

    import flows.alert_block  # noqa: F401 - its class registers itself

    # httpx logs every request's URL, and a webhook's URL is a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return prefect_app()
