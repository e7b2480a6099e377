"""Arrays in numpy's own files, read by several threads at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# numpy parses a file's header by `ast`, whose builder in CPython 3.11 counts its depth in one place for all threads: should garbage be
# collected in the middle, another thread may run, and count there too ("AST constructor recursion depth mismatch").
_PARSING = threading.Lock()


def load_array(path: Path, mode: Literal["r"] | None = None) -> NDArray[Any]:
    """The array in a file; with the mode `r` it stays on disk, read-only.

    Raises:
        OSError, ValueError, EOFError: no such file, a damaged one, or one that would be unpickled.
    """
    with _PARSING:
        return np.load(path, mmap_mode=mode, allow_pickle=False)
