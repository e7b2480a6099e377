"""Processes, known by id and start time (ids are used again), and the cores that they share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cores:
    """The cores of this machine that work of several cores at a time is put on, first come, first served."""

    def __init__(self, count: int) -> None:
        self.count = self._free = count
        self._line = threading.Lock()
        self._given_back = threading.Condition()

    @contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        """Wait for so many cores (all of them, where there are fewer), and keep them for the block."""
        wanted = min(wanted, self.count)
        with self._line, self._given_back:
            self._given_back.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._given_back:
                self._free += wanted
                self._given_back.notify_all()


#: of this process's fits
CORES = Cores(len(os.sched_getaffinity(0)))


def started_at(pid: int) -> float:
    """When the process of this id started (seconds since 1970).

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    import psutil

    return float(psutil.Process(pid).create_time())


def is_alive(pid: int, created: float) -> bool:
    """A process of this id runs, it is the one that started then, and it is no zombie."""
    import psutil

    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
