"""What must stand in the environment before Prefect, MLflow and Great Expectations are imported: our folders, and no telemetry."""

from __future__ import annotations

import os

from finflow.flows.servers.secrets import USER, read_secrets
from finflow.models.kernels import KERNELS
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.redaction import hide_in_logs
from finflow.pipelines.core.servers import read_stack

# One thread a process: bits of a sum depend on the number of threads, and fits run side by side, one a core.
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

_QUIET = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SEND_TELEMETRY": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SHOW_UPDATE_CHECK": "false",
}

_EMBEDDED = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A server that takes a request and is silent is asked again; MLflow itself would wait two minutes, eight times over.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    # The console belongs to our own output; the API keeps the runs' logs.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}


def prepare_environment(home: Home) -> None:
    """Set the process's environment for `home`; what a person has set stays, but for telemetry, which is off.

    Call before prefect, mlflow or great_expectations are imported: they read it once.
    """
    hide_in_logs()
    os.environ.update(_QUIET)
    for name, value in {**_THREADS, **KERNELS, **_EMBEDDED}.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(home.prefect))
    os.environ.setdefault("PREFECT_LOCAL_STORAGE_PATH", str(home.prefect / "results"))
    os.environ["MLFLOW_TRACKING_URI"] = home.tracking_uri
    if home.prefect_api:
        os.environ["PREFECT_API_URL"] = home.prefect_api
    _take_credentials(home)
    _say_that_it_lives(home)


def _take_credentials(home: Home) -> None:
    """For the secured servers of this home, and for no others; what a person has set stays."""
    stack = read_stack(home.servers)
    if stack is None or not stack.secure or not stack.in_use:
        return

    secrets = read_secrets(home)
    if home.prefect_api == stack.prefect_api:
        os.environ.setdefault("PREFECT_API_AUTH_STRING", secrets.prefect)
    if home.tracking_uri == stack.address("mlflow") and "MLFLOW_TRACKING_USERNAME" not in os.environ:
        os.environ.update(MLFLOW_TRACKING_USERNAME=USER, MLFLOW_TRACKING_PASSWORD=secrets.mlflow_password)


def _say_that_it_lives(home: Home) -> None:
    """Runs of commands send heartbeats as often as the servers' search for silent runs needs; the record of `finflow up` says."""
    stack = read_stack(home.servers)
    if stack is not None and home.prefect_api == stack.prefect_api:
        os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(stack.heartbeat_seconds))
