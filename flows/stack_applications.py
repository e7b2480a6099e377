"""What the processes of the stack serve: Prefect's application and MLflow's, with a guard before each."""

from __future__ import annotations

import os
from typing import Any


def create_prefect() -> Any:
    """Prefect's API and UI. A Host header that was not allowed gets 400."""
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from flows.prefect_application import create_app

    return TrustedHostMiddleware(create_app(), os.environ["FINFLOW_ALLOWED_HOSTS"].split(","), www_redirect=False)


def create_mlflow() -> Any:
    """MLflow's API and UI, its store made before the first request, with authentication where a file of users is named.

    The same as `mlflow server --serve-artifacts` in one process instead of two: the id that is kept is the id that serves.
    """
    from mlflow.server import constants
    from mlflow.server.handlers import initialize_backend_stores

    from pipelines.home import Home
    from pipelines.mlflow_store import prepare_store

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
        from mlflow.server.auth import create_app

        return _without_assistant(create_app())
    from mlflow.server.fastapi_app import app

    return _without_assistant(app)


def _without_assistant(app: Any) -> Any:
    """MLflow's assistant runs shell commands for whoever calls from this machine, which behind a proxy is everybody."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan" and scope["path"].startswith("/ajax-api/3.0/mlflow/assistant"):
            from starlette.responses import PlainTextResponse

            await PlainTextResponse("not served here", status_code=404)(scope, receive, send)
            return
        await app(scope, receive, send)

    return guarded
