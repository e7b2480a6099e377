"""A warm process: it loads the libraries once, and forks a process for each command that it is sent.

`python -m tests.support.warm_server SOCKET LIFELINE` serves until the pipe LIFELINE closes (its parent has ended). `tests.support.warm` is
its client. What a new interpreter would do at its start and a fork would not, the forked process does itself: environment, folder, streams,
`sys.path`, Prefect's settings. It begins with a fork server of its own, as `finflow.pipelines.fits.process.warm` would begin one: fits end
with their command.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback
import types
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from typing import Any

#: what commands import as they run; models and kinds of problems come with them
LIBRARIES = (
    "exchange_calendars",
    "finflow.flows.approve",
    "finflow.flows.backfill",
    "finflow.flows.command_line.commands",
    "finflow.flows.servers.interfaces",
    "finflow.flows.monitor",
    "finflow.flows.command_line.output",
    "finflow.flows.command_line.pages",
    "finflow.flows.score",
    "finflow.flows.train",
    "finflow.flows.validate",
    "great_expectations",
    "lightgbm",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "mlflow",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "finflow.models.forecasts.arima",
    "finflow.models.networks.cnn",
    "finflow.models.networks.dense",
    "finflow.models.networks.gan",
    "finflow.models.networks.modules.gan_training",
    "finflow.models.networks.recurrent",
    "finflow.models.forecasts.ridge",
    "pandas",
    "finflow.pipelines.operating.approval",
    "finflow.pipelines.backfill.run",
    "finflow.pipelines.training.conclusion",
    "finflow.pipelines.evaluation.evaluation",
    "finflow.pipelines.scoring.export",
    "finflow.pipelines.fits.process",
    "finflow.pipelines.fits.worker",
    "finflow.pipelines.leakage.check",
    "finflow.pipelines.monitoring.run",
    "finflow.pipelines.operating.pruning.run",
    "finflow.pipelines.training.report",
    "finflow.pipelines.scoring.score",
    "finflow.pipelines.registry.loader",
    "finflow.pipelines.training.tracking",
    "finflow.pipelines.training.plan",
    "finflow.pipelines.evaluation.plots.training",
    "finflow.pipelines.backfill.walk_forward",
    "prefect",
    "pyarrow.parquet",
    "pytorch_lightning",
    "safetensors.torch",
    "scipy.stats",
    "sklearn.linear_model",
    "statsmodels.tsa.arima.model",
    "torch",
)


def serve(address: str, lifeline: int) -> None:
    """Load the libraries, listen at `address`, and fork for each request until `lifeline` closes."""
    _load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, lifeline, wake_read], [], [])
        if lifeline in ready:
            os._exit(0)
        if wake_read in ready:
            os.read(wake_read, 4096)
            _tell_of_ended(running)
        if listener in ready:
            connection, _ = listener.accept()
            request, streams = _received(connection)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for open_one in (listener, connection, *running.values()):
                    open_one.close()
                for number in (lifeline, wake_read, wake_write):
                    os.close(number)
                _become(request, streams)
            for stream in streams:
                os.close(stream)
            running[pid] = connection
            connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")


def _load() -> None:
    """Import the libraries as a command would, with a home that is nobody's; the environment is as before afterwards."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        from finflow.flows.servers.environment import prepare_environment
        from finflow.pipelines.core.home import Home

        os.environ.update(FINFLOW_HOME=folder, PREFECT_API_URL="http://127.0.0.1:9/api")
        prepare_environment(Home.from_environment())
        for name in LIBRARIES:
            importlib.import_module(name)
    resource_tracker.ensure_running()  # one for all: a new interpreter each
    os.environ.clear()
    os.environ.update(before)
    if threading.active_count() > 1:
        sys.exit(f"the warm process has threads, and could not fork safely: {threading.enumerate()}")
    gc.collect()
    gc.freeze()


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A request (one line of JSON) and the descriptors of its output and errors."""
    data, streams, _, _ = socket.recv_fds(connection, 1 << 16, 2)
    while not data.endswith(b"\n"):
        data += connection.recv(1 << 16)
    return json.loads(data), list(streams)


def _tell_of_ended(running: dict[int, socket.socket]) -> None:
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            connection = running.pop(pid)
            with suppress(OSError):  # nobody waits for it
                connection.sendall(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
            connection.close()


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Be the process that the command would have been; does not return."""
    code = 1
    try:
        for name in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(name, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        tempfile.tempdir = None
        added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[1:1] = [path for path in added if path and path not in sys.path]
        _begin_fork_server()
        _read_settings_anew()
        code = _carry_out(request["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        _finish()
        os._exit(code)


def _begin_fork_server() -> None:
    """Fork what `multiprocessing` would start as a new interpreter and preload: this process has everything loaded, and no threads yet."""
    from finflow.models.kernels import KERNELS
    from finflow.pipelines.fits.worker import THREADS

    def forked(_: Any, arguments: list[str], passed: list[int]) -> int:
        pid = os.fork()
        if pid == 0:
            os.environ.update({**dict.fromkeys(THREADS, "1"), **KERNELS})
            listening, alive = passed
            for number in {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, listening, alive}:
                with suppress(OSError):  # the listing itself had one
                    os.close(number)
            try:
                forkserver.main(listening, alive, [])
            finally:
                os._exit(0)
        return pid

    spawn, util.spawnv_passfds = util.spawnv_passfds, forked  # type: ignore[assignment]
    try:
        forkserver.ensure_running()
    finally:
        util.spawnv_passfds = spawn


def _read_settings_anew() -> None:
    """Prefect reads its settings from the environment as it is imported; here it shall read them when they are first asked for."""
    from prefect.context import SettingsContext, refresh_global_settings_context

    original = SettingsContext.get.__func__  # type: ignore[attr-defined]

    def first(cls: type[SettingsContext]) -> SettingsContext | None:
        SettingsContext.get = classmethod(original)  # type: ignore[assignment, method-assign]
        refresh_global_settings_context()
        found: SettingsContext | None = cls.get()
        return found

    SettingsContext.get = classmethod(first)  # type: ignore[assignment, method-assign]


def _carry_out(arguments: list[str]) -> int:
    """Run `-m MODULE ...`, `-c PROGRAM ...` or `SCRIPT ...`; its exit code."""
    try:
        if arguments[0] == "-m":
            sys.argv, sys.path[0] = arguments[1:], str(Path.cwd())
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            sys.argv, sys.path[0] = ["-c", *arguments[2:]], ""
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
        else:
            sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).resolve().parent)
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return 0


def _finish() -> None:
    """What an interpreter does at its end."""
    try:
        getattr(threading, "_shutdown")()  # noqa: B009
        getattr(atexit, "_run_exitfuncs")()  # noqa: B009
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
