"""One patience with other runs' commits: bounded, jittered, and not begun anew by a loop around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from finflow.pipelines.core.errors import ConflictError, StateError
from finflow.pipelines.lake import conflicts
from finflow.pipelines.lake.conflicts import ATTEMPTS, LONGEST_WAIT, kept_writing, retry_conflicts


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that were asked for; nobody waits."""
    asked: list[float] = []
    monkeypatch.setattr(conflicts.time, "sleep", asked.append)
    return asked


def losing(times: int, error: type[Exception] = ConflictError) -> Callable[[], int]:
    """Loses so often; then the number of the attempt."""
    tries: list[int] = []

    def attempt() -> int:
        tries.append(1)
        if len(tries) <= times:
            raise error("another run wrote first")
        return len(tries)

    return attempt


def test_it_goes_on_until_it_is_first(waits: list[float]) -> None:
    assert retry_conflicts(losing(0), "x") == 1
    assert waits == []
    assert retry_conflicts(losing(ATTEMPTS - 1), "x") == ATTEMPTS
    assert len(waits) == ATTEMPTS - 1


def test_waits_are_drawn_and_grow_to_a_bound(waits: list[float]) -> None:
    for _ in range(20):
        assert retry_conflicts(losing(ATTEMPTS - 1), "x") == ATTEMPTS
    assert len(set(waits)) == len(waits)
    assert max(waits[:: ATTEMPTS - 1]) <= 0.02
    assert LONGEST_WAIT / 2 < max(waits) <= LONGEST_WAIT


def test_it_ends_in_the_message(waits: list[float]) -> None:
    with pytest.raises(ConflictError, match="raw/tiny: other runs kept writing to it, 50 times over"):
        retry_conflicts(losing(ATTEMPTS), kept_writing("raw/tiny"))
    assert len(waits) == ATTEMPTS


def test_other_errors_are_not_tried_again(waits: list[float]) -> None:
    with pytest.raises(StateError):
        retry_conflicts(losing(1, StateError), "x")
    assert waits == []


def test_a_loop_in_a_loop_has_one_patience(waits: list[float]) -> None:
    inner = losing(ATTEMPTS * ATTEMPTS)
    with pytest.raises(ConflictError, match="inner"):
        retry_conflicts(lambda: retry_conflicts(inner, "inner"), "outer")
    assert len(waits) == ATTEMPTS
