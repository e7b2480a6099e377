"""Run the command line and die by SIGKILL at a stated place: `python tests/support/faults/kill_at.py MODULE:FUNCTION WHEN ARGUMENTS...`.

WHEN is `before` (as the function is called), `delivered` (then, but once the server has what was queued for it: logs, states of tasks),
`after` (as it returns), or seconds after the call began.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    place, when, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*positional: Any, **named: Any) -> Any:
            if when == "delivered":
                from finflow.flows.servers.server import send_what_is_queued  # not before the command has set its environment

                send_what_is_queued()
            if when in ("before", "delivered"):
                die()
            if when != "after":
                threading.Timer(float(when), die).start()
            result = original(*positional, **named)
            if when == "after":
                die()
            return result

        return wrapped

    from finflow.flows.command_line.app import app
    from tests.support.faults.wrapping import wrap

    wrap(place, dying)
    app(args=arguments)


if __name__ == "__main__":
    main()
