"""What is said of a trial wherever it is shown: what it read, how many folds, and what may not be concluded from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finflow.pipelines.samples.development import Development

TITLE = "Trial on development folds: nothing is decided"


def read_text(allowed: Development) -> str:
    """What the trial read, in a sentence."""
    return (
        f"Rows, corrections and labels are as they were known by {allowed.as_of[:10]}; of the test part, which begins on "
        f"{allowed.first_test} (folds.first_test), no outcome was read."
    )


def optimism_text(name: str) -> str:
    """What may not be concluded, in a sentence."""
    return (
        "Who is chosen here for its figures has better ones than it deserves: after choosing, p-values and intervals are optimistic. "
        f"`finflow train {name}` decides, on the test part."
    )


def folds_text(found: int, wanted: int, first_test: str) -> str:
    """How many development folds there are, in a sentence that says when they are fewer than the test part has periods."""
    if found >= wanted:
        return f"{found} development folds before {first_test}, as many as the test part has periods."
    return (
        f"{found} development folds before {first_test}, fewer than the {wanted} periods of the test part: the history before them is too "
        "short to train on."
    )
