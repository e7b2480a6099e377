"""Memory of a command and of every process below it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import psutil

from tests.support import REPOSITORY, Finflow

INTERVAL = 0.25  # seconds


@dataclass(frozen=True)
class Measured:
    """A command that succeeded.

    Attributes:
        outcome: the JSON object that it printed.
        seconds: by the clock, with Python's start.
        peak: bytes; the most that all its processes held at one moment. A page that n processes share counts 1/n in each (PSS), so that the
            sum counts it once.
    """

    outcome: dict[str, Any]
    seconds: float
    peak: int


def measure(finflow: Finflow, *arguments: str) -> Measured:
    """Run a command and look at its memory four times a second."""
    command = [sys.executable, "-m", "finflow.flows", *arguments, "--json"]
    began, peak, ended = time.perf_counter(), [0], threading.Event()
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=finflow.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:

        def look() -> None:
            while not ended.wait(INTERVAL):
                peak[0] = max(peak[0], tree_bytes(process.pid))

        watch = threading.Thread(target=look)
        watch.start()
        printed, said = process.communicate()
        seconds = time.perf_counter() - began
        ended.set()
        watch.join()
    assert process.returncode == 0, f"{arguments}: {printed}\n{said[-4000:]}"
    return Measured(json.loads(printed), seconds, peak[0])


def tree_bytes(pid: int) -> int:
    """Proportional set size of a process and all below it; of those that end meanwhile, nothing."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += int(process.memory_full_info().pss)
    return total
