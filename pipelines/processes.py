"""Processes, known by id and start time: ids are used again."""

from __future__ import annotations


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
