"""Ends what a test process leaves behind, however that process ends: `python -S tests/support/guard.py MARK` waits until its standard input
closes.

Everything that a test process starts inherits the variable TESTS_PROCESS=MARK, servers in sessions of their own, too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def left_behind(mark: str) -> list[int]:
    """The processes whose environment holds the mark, but for this one."""
    wanted = f"TESTS_PROCESS={mark}\0".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def main() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # it ends with the test process, and after it
    sys.stdin.buffer.read()
    time.sleep(0.5)  # what is ending by itself may
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left_behind(sys.argv[1]):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        time.sleep(1 if left_behind(sys.argv[1]) else 0)


if __name__ == "__main__":
    main()
