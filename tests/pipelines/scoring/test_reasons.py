"""Reasons: the largest contributions with their signs, and none that do not add up to the score."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest

from finflow.models.base import Contributions, Task
from finflow.models.samples import Samples, from_windows
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.registry.served import ServedModel
from finflow.pipelines.scoring.reasons import reason_texts

TASK = Task("probabilities", 1, (), ("good", "bad"), ("income", "age"), ("income", "age"), 1, categories=("purpose",), missing=True)
FOUND = Contributions(
    values=np.array([[0.5, -1.25, 0.0], [-0.1, 0.0, 2.0]], dtype=np.float32),
    base=np.array([-1.0, -1.0], dtype=np.float32),
    score=np.array([-1.75, 0.9], dtype=np.float32),
)


@dataclass
class Told:
    found: Contributions | None
    task: Task = TASK

    def contributions(self, samples: Samples) -> Contributions | None:
        return self.found


@dataclass
class Served:
    model: Told
    version: int = 3


SAMPLES = from_windows(np.zeros((2, 1, 2), dtype=np.float32), ("income", "age"), 1, categories=np.zeros((2, 1, 1), dtype=np.int64))


def told(found: Contributions | None, count: int) -> list[str | None]:
    return reason_texts(cast(ServedModel, Served(Told(found))), SAMPLES, count)


def test_the_largest_come_first_and_what_moved_nothing_is_no_reason() -> None:
    assert [json.loads(text or "") for text in told(FOUND, 2)] == [
        [{"feature": "age", "effect": -1.25}, {"feature": "income", "effect": 0.5}],
        [{"feature": "purpose", "effect": 2.0}, {"feature": "income", "effect": -0.1}],
    ]
    assert told(FOUND, 0) == [None, None]
    assert told(None, 2) == [None, None], "a base rate has no reasons"


@pytest.mark.parametrize("score", [[-1.75, 0.85], [-1.75, np.nan]])
def test_parts_that_miss_the_score_are_refused(score: list[float]) -> None:
    with pytest.raises(FinflowError, match="the reasons of version 3 do not add up to the score for 1 of 2 rows"):
        told(replace(FOUND, score=np.array(score, dtype=np.float32)), 2)
