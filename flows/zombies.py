"""Runs whose process died without a word: marked as crashed within a time that is a setting, so that nothing runs for ever.

On a server, each run sends heartbeats, and an automation (infra/automations.yaml) marks a run that has fallen silent. On the embedded
server, which nobody watches between commands, the next command marks the runs whose process is gone.
"""

from __future__ import annotations

import os

from pipelines.errors import FinflowError

VARIABLE = "FINFLOW_ZOMBIE_SECONDS"
DEFAULT_SECONDS = 600
#: Prefect sends heartbeats at least 30 s apart; a shorter silence would be nothing to go by
SHORTEST_HEARTBEAT = 30
LONGEST_HEARTBEAT = 180
SHORTEST_SECONDS = 40


def zombie_seconds() -> int:
    """After how many seconds of silence a run counts as crashed: FINFLOW_ZOMBIE_SECONDS.

    Raises:
        FinflowError: it is no whole number, or below 40.
    """
    text = os.environ.get(VARIABLE) or str(DEFAULT_SECONDS)
    if not text.isdigit() or int(text) < SHORTEST_SECONDS:
        raise FinflowError(
            f"{VARIABLE} is {text[:20]!r}: expected whole seconds, {SHORTEST_SECONDS} or more (a run says that it lives every "
            f"{SHORTEST_HEARTBEAT} s at most)."
        )
    return int(text)


def heartbeat_seconds() -> int:
    """How often a run says that it lives: three times in the time after which it would count as crashed, where Prefect allows that."""
    return max(SHORTEST_HEARTBEAT, min(LONGEST_HEARTBEAT, zombie_seconds() // 3))
