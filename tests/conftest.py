"""Fixtures that every part of the tests may use. Nothing is imported here that takes long."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from finflow.models.kernels import KERNELS
from finflow.pipelines.core.home import Home
from tests.support import REPOSITORY, Finflow, tiny_values, write_definition
from tests.support.choice import pytest_addoption, pytest_collection_modifyitems, pytest_configure, pytest_terminal_summary

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure", "pytest_terminal_summary"]

if TYPE_CHECKING:
    from tests.support.pipelines.training_support import Trained

DATA = REPOSITORY.parent / "shared" / "data"

if "PYTEST_XDIST_WORKER" not in os.environ:  # a folder for all workers of a run, which inherit the variable
    os.environ["FINFLOW_CACHE"] = tempfile.mkdtemp(prefix="finflow-cache-")
    atexit.register(shutil.rmtree, os.environ["FINFLOW_CACHE"], ignore_errors=True)

for _name, _value in {"OMP_NUM_THREADS": "1", **KERNELS}.items():
    os.environ.setdefault(_name, _value)


def _forget_services() -> None:
    # Prefect ends its services as a process exits; in a child that a fit forks they are gone, and ending them would fail it.
    getattr(threading, "_threading_atexits").clear()  # noqa: B009


# The same examples everywhere, and no limit on one example's seconds: the machine may be busy.
hypothesis.settings.register_profile("finflow", deadline=None, derandomize=True)
hypothesis.settings.load_profile("finflow")

# Whatever this process starts is ended after it, even if it is killed.
os.environ["TESTS_PROCESS"] = uuid.uuid4().hex
_GUARD = subprocess.Popen(
    [sys.executable, "-S", str(REPOSITORY / "tests" / "support" / "guard.py"), os.environ["TESTS_PROCESS"]],
    stdin=subprocess.PIPE,
    start_new_session=True,
)

os.register_at_fork(after_in_child=_forget_services)


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path) -> Iterator[None]:
    """Each test has a home of its own, whatever the person who runs it has set; what it sets in the environment goes with it."""
    before = dict(os.environ)
    for name in ("MLFLOW_TRACKING_URI", "FINFLOW_LAKE"):
        os.environ.pop(name, None)
    os.environ["FINFLOW_HOME"] = str(tmp_path / "home")
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    root = tmp_path / "home"
    return Home(root=root, lake=str(root / "lake"), tracking_uri=f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", prefect_api=None)


@pytest.fixture
def shared_data() -> Path:
    """Real files, where this machine has them."""
    if not DATA.is_dir():
        pytest.skip("the folder shared/data with real files is absent")
    return DATA


@pytest.fixture
def tiny_definition(tmp_path: Path) -> Path:
    """The tiny definition as a YAML file."""
    return write_definition(tmp_path / "tiny.yaml", tiny_values())


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A small training as far as its evaluation, carried out once a test process; take `trained` in tests."""
    from tests.support.pipelines.training_support import train_and_draw

    return train_and_draw(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def trained(once: Trained, home: Home, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The small training in the test's own home."""
    from finflow.models.zoo import ZOO
    from tests.support.pipelines.fit_support import MODELS

    for name, place in MODELS.items():
        monkeypatch.setitem(ZOO, name, place)
    return once.moved(home)


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real Prefect server for the tests of a worker process; starting one takes over ten seconds."""
    from finflow.flows.servers import server
    from finflow.flows.servers.environment import prepare_environment
    from finflow.flows.servers.server import prefect_server

    root = tmp_path_factory.mktemp("prefect-server")
    server_home = Home(root=root, lake=str(root / "lake"), tracking_uri="sqlite://", prefect_api=None)
    before = dict(os.environ)
    server.START_SECONDS = 600  # every later test of this process would fail with it
    try:
        prepare_environment(server_home)
        with prefect_server(server_home) as api:
            os.environ.clear()
            os.environ.update(before)
            # Prefect reads the environment once, as it is imported: an earlier test of this process may have done that without a server.
            with _told_of_the_server(api, server_home):
                yield api
            os.environ["PREFECT_API_URL"] = api
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _told_of_the_server(api: str, home: Home) -> Iterator[None]:
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_LOCAL_STORAGE_PATH,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
        temporary_settings,
    )

    told = {PREFECT_API_URL: api, PREFECT_HOME: home.prefect, PREFECT_LOCAL_STORAGE_PATH: home.prefect / "results"}
    with temporary_settings({**told, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}):
        yield


@pytest.fixture
def finflow(home: Home, prefect_api: str) -> Finflow:
    """The command line over an empty home and a real Prefect server."""
    return Finflow(home, prefect_api)
