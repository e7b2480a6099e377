"""Trying again where another run's commit came first: with one patience, whatever is written."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from finflow.pipelines.core.errors import ConflictError

#: each lost attempt is another's success: so many in a row are no accident
ATTEMPTS = 50
FIRST_WAIT, LONGEST_WAIT = 0.02, 1.0  # seconds: at most, for the waits are drawn

Result = TypeVar("Result")


class _GivenUpError(ConflictError):
    """The patience has been had: a loop around this one does not begin anew."""


def retry_conflicts(attempt: Callable[[], Result], told: str) -> Result:
    """What `attempt` returns, called again, after a while, for as long as another run's commit comes first: 50 times at most.

    Args:
        attempt: reads, decides, and writes on condition that nothing was written in between (ConflictError: something was).
        told: what the error says in the end.

    Raises:
        ConflictError: every attempt was lost.
    """
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except _GivenUpError:
            raise
        except ConflictError:
            time.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**number)))
    raise _GivenUpError(told)


def kept_writing(table: str) -> str:
    """What is told where nothing but the table was to be written."""
    return f"table {table}: other runs kept writing to it, {ATTEMPTS} times over. Nothing was written; run the command again."
