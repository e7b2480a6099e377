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

    Raises:
        FinflowError: the MLflow UI ended by itself.
    """
    from flows.server import free_port
    from pipelines.tracking import prepare_store

    prepare_store(home)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", home.tracking_uri]
    with prefect_server(home) as api:
        mlflow = subprocess.Popen(command, env=os.environ, stdin=subprocess.DEVNULL)
        addresses = {"mlflow": f"http://127.0.0.1:{port}", "prefect": api.removesuffix("/api")}
        DISPLAY.say(f"MLflow UI  {addresses['mlflow']}\nPrefect UI {addresses['prefect']}\nCtrl-C ends both.")
        try:
            for address in addresses.values():
                webbrowser.open(address)
            while mlflow.poll() is None:
                time.sleep(0.5)
            raise FinflowError(f"The MLflow UI ended with code {mlflow.returncode}: its own message is above.")
        except KeyboardInterrupt:
            return {"ok": True, **addresses}
        finally:
            mlflow.terminate()
            mlflow.wait(15)
