"""What the processes of the stack serve: Prefect's application and MLflow's, with a guard before each."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from finflow.pipelines.core.home import Home
from finflow.pipelines.tracking.store import prepare_store


def create_prefect() -> Any:
    """Prefect's API and UI. A Host header that was not allowed gets 403, as MLflow does."""
    # late: create_app is several things in this file
    from finflow.flows.servers.prefect_application import create_app

    return _guarded(create_app(), 403, _has_foreign_host)


def create_mlflow() -> Any:
    """MLflow's API and UI, its store made before the first request, with authentication where a file of users is named.

    The same as `mlflow server --serve-artifacts` in one process instead of two: the id that is kept is the id that serves.
    """
    from mlflow.server import constants
    from mlflow.server.handlers import initialize_backend_stores

    home, uri = Home.from_environment(), os.environ["MLFLOW_BACKEND_STORE_URI"]
    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: uri,
            constants.REGISTRY_STORE_URI_ENV_VAR: uri,
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: os.environ["MLFLOW_ARTIFACTS_DESTINATION"],
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    prepare_store(Home(home.root, home.lake, uri, None))
    initialize_backend_stores(uri, uri, "mlflow-artifacts:/")
    if "MLFLOW_AUTH_CONFIG_PATH" in os.environ:
        from mlflow.environment_variables import _MLFLOW_SGI_NAME
        from mlflow.server.auth import create_app

        os.environ[_MLFLOW_SGI_NAME.name] = "uvicorn"  # else it returns the part for WSGI alone, which guards less
        return _guarded(create_app(), 404, _is_assistant)
    from mlflow.server.fastapi_app import app

    return _guarded(app, 404, _is_assistant)


def _guarded(app: Any, status: int, refuses: Callable[[Any], bool]) -> Any:
    """The ASGI application, but for the requests that are refused with this status."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan" and refuses(scope):
            from starlette.responses import PlainTextResponse

            await PlainTextResponse("refused", status_code=status)(scope, receive, send)
            return
        await app(scope, receive, send)

    return guarded


def _is_assistant(scope: Any) -> bool:
    """MLflow's assistant runs shell commands for whoever calls from this machine, which behind a proxy is everybody."""
    return bool(scope["path"].startswith("/ajax-api/3.0/mlflow/assistant"))


def _has_foreign_host(scope: Any) -> bool:
    """A web page can make a name of its own point to loopback; the browser then sends that name."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return host.rpartition(":")[0] not in _allowed() and host not in _allowed()


def _allowed() -> list[str]:
    return os.environ["FINFLOW_ALLOWED_HOSTS"].split(",")
