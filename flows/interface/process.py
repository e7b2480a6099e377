"""What stands around a call from Python, as around a command: the home, the environment, one thread, errors in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finflow.flows.servers.diagnostics import explained
from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home

#: the folder of the home that this process works with: what has read its addresses keeps them
_ROOT: Path | None = None


def enter_home() -> Home:
    """The home that FINFLOW_HOME names (default: `.finflow` in the working folder), and from the first call on always that one.

    The process's environment is set as a command's is (see `finflow.flows.servers.environment.prepare_environment`), and FINFLOW_HOME to
    the whole path, so that a change of the working folder changes nothing.

    Raises:
        FinflowError: FINFLOW_HOME was changed since, or the record of its servers is damaged.
    """
    global _ROOT
    home = Home.from_environment()
    if _ROOT is not None and home.root != _ROOT:
        raise FinflowError(f"FINFLOW_HOME is {home.root} now, and was {_ROOT}: one Python process works with one home. Restart the kernel.")
    prepare_environment(home)
    os.environ["FINFLOW_HOME"] = str(home.root)
    _ROOT = home.root
    return home


@contextmanager
def as_a_command() -> Iterator[Home]:
    """The home, for the time of a block that does what a command does.

    Raises:
        FinflowError: what the command would say, in the same words.
    """
    home = enter_home()
    with explained(home), one_thread():
        yield home


@contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries take one thread meanwhile, as in a command: the bits of a sum depend on how many there are, and a notebook may
    have loaded them with more."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        torch = sys.modules.get("torch")
        before = torch.get_num_threads() if torch else 1
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
