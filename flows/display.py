"""The progress that a person sees while a command works, on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from finflow.flows.program import as_started


class Display:
    """A line a stage, with a bar where a stage has parts. Safe to call from the threads that run tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: Any = None
        self._bars: dict[str, Any] = {}
        self._started = time.monotonic()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show progress for the time of the block; plain lines where standard error is no terminal."""
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description:<44}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            self._progress = progress
            try:
                yield
            finally:
                self._progress = None
                self._bars.clear()

    def say(self, text: str) -> None:
        """One line about what is being done."""
        text = as_started(text)
        with self._lock:
            if self._progress is not None:
                self._progress.console.print(text, highlight=False)
            else:
                sys.stderr.write(f"[{time.monotonic() - self._started:6.1f} s] {text}\n")
                sys.stderr.flush()

    def begin(self, name: str, total: int) -> None:
        """A stage of `total` parts begins."""
        if total == 0:
            return
        with self._lock:
            if self._progress is not None:
                self._bars[name] = self._progress.add_task(name, total=total)
                return
        self.say(f"{name}: {total}")

    def advance(self, name: str) -> None:
        """One part of the stage is done."""
        with self._lock:
            if self._progress is not None and name in self._bars:
                self._progress.advance(self._bars[name])


#: the display of this process
DISPLAY = Display()
