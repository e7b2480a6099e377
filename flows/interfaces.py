"""Both UIs over a home's state, in the foreground."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import webbrowser
from typing import Any

from flows.display import DISPLAY
from flows.server import prefect_server
from pipelines.errors import FinflowError
from pipelines.home import Home


def serve_interfaces(home: Home) -> dict[str, Any]:
    """Serve the MLflow UI and the Prefect UI on loopback until Ctrl-C, then end what was started.

    While the servers of `finflow up` run, it only says where they are.

    Raises:
        FinflowError: the MLflow UI ended by itself, or a server of `finflow up` has.
    """
    from flows.server import free_port
    from pipelines.mlflow_store import prepare_store, require_servers
    from pipelines.stack_record import read_stack, require_running

    require_servers(home)
    stack = read_stack(home.servers)
    if stack and stack.up and (home.tracking_uri, home.prefect_api) == (stack.address("mlflow"), stack.prefect_api):
        require_running(home.servers, "prefect", stack.prefect_api)
        addresses = {"mlflow": stack.address("mlflow"), "prefect": stack.address("prefect")}
        _show(addresses, "`finflow down` ends both.")
        return {"ok": True, "running": True, **addresses}
    if home.tracking_uri.startswith("http"):
        raise FinflowError(f"MLflow's UI is at {home.tracking_uri} (MLFLOW_TRACKING_URI); `finflow ui` serves local state only.")
    prepare_store(home)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(home.mlflow / "artifacts")]
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": home.tracking_uri}  # every user of the machine can list arguments
    with prefect_server(home) as api:
        mlflow = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        addresses = {"mlflow": f"http://127.0.0.1:{port}", "prefect": api.removesuffix("/api")}
        try:
            _show(addresses, "Ctrl-C ends both.")
            while mlflow.poll() is None:
                time.sleep(0.5)
            raise FinflowError(f"The MLflow UI ended with code {mlflow.returncode}: its own message is above.")
        except KeyboardInterrupt:
            return {"ok": True, "running": False, **addresses}
        finally:
            _end(mlflow)


def _show(addresses: dict[str, str], ending: str) -> None:
    DISPLAY.say(f"MLflow UI  {addresses['mlflow']}\nPrefect UI {addresses['prefect']}\n{ending}")
    for address in addresses.values():
        webbrowser.open(address)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask it and its own processes to end, and kill what has not after a while: a browser's open connection holds it up."""
    import psutil

    try:
        processes = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
    except psutil.NoSuchProcess:
        return
    server.terminate()
    _, left = psutil.wait_procs(processes, 15)
    for process in left:
        process.kill()
    server.wait()
