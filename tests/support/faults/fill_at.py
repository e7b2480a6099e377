"""Run the command line with a disk that fills up at a stated place: `python tests/support/faults/fill_at.py MODULE:FUNCTION LEFT
ARGUMENTS...`.

As the function is called for the first time, a file `filler` in FINFLOW_HOME takes all but LEFT bytes of what is free there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))


def fill(folder: Path, left: int) -> None:
    """Take all of a disk but so many bytes."""
    filler = folder / "filler"
    if filler.exists():
        return
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"\1" * 65536):
                pass
        except OSError:
            pass
        try:
            while file.write(b"\1" * 512):
                pass
        except OSError:
            pass
    os.truncate(filler, max(0, filler.stat().st_size - left))


def main() -> None:
    place, left, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

    def filling(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*positional: Any, **named: Any) -> Any:
            fill(Path(os.environ["FINFLOW_HOME"]), left)
            return original(*positional, **named)

        return wrapped

    from finflow.flows.command_line.app import app
    from tests.support.faults.wrapping import wrap

    wrap(place, filling)
    app(args=arguments)


if __name__ == "__main__":
    main()
