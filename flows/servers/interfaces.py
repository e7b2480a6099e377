"""Both UIs over a home's state, in the foreground."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import webbrowser
from typing import Any
from urllib.parse import urlsplit

from finflow.flows.display import DISPLAY
from finflow.flows.servers.server import free_port, prefect_server
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.servers import read_stack, require_running
from finflow.pipelines.tracking.store import prepare_store, require_servers

#: where each UI is served, if nothing else listens there: the ports that MLflow and Prefect use by themselves
MLFLOW_PORT, PREFECT_PORT = 5000, 4200
#: how many ports from there on are tried
TRIED = 20


def addresses_of(home: Home) -> dict[str, str]:
    """Where a person finds `mlflow` and `prefect`: the servers that this home's commands use, else where `finflow ui` would serve them."""
    tracking, prefect = urlsplit(home.tracking_uri), home.prefect_api
    server = f"{tracking.scheme}://{tracking.netloc.rpartition('@')[2]}{tracking.path.rstrip('/')}"  # never a password
    return {
        "mlflow": server if tracking.scheme.startswith("http") else f"http://127.0.0.1:{first_free(MLFLOW_PORT)}",
        "prefect": prefect.removesuffix("/api") if prefect else f"http://127.0.0.1:{first_free(PREFECT_PORT)}",
    }


def first_free(port: int) -> int:
    """The first loopback port from `port` on that nothing listens on now; any free one, where twenty of them are taken."""
    for tried in range(port, port + TRIED):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose last connection has just ended is free
            try:
                listener.bind(("127.0.0.1", tried))
            except OSError:
                continue
            return tried
    return free_port()


def serve_interfaces(home: Home) -> dict[str, Any]:
    """Serve the MLflow UI and the Prefect UI on loopback until Ctrl-C, then end what was started.

    While the servers of `finflow up` run, it only says where they are.

    Raises:
        FinflowError: the MLflow UI ended by itself, or a server of `finflow up` has.
    """
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
    port = first_free(MLFLOW_PORT)
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(home.mlflow / "artifacts")]
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": home.tracking_uri}  # every user of the machine can list arguments
    with prefect_server(home, first_free(PREFECT_PORT)) as api:
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
