"""The forms of answer: their shapes and names, what they say in a few numbers, and what the targets alone would answer."""

from __future__ import annotations

from typing import Any, cast, get_args

import numpy as np
import pytest

from finflow.models.answers import ANSWERS, Averaged
from finflow.models.base import Kind, Prediction, Task
from finflow.models.networks.learnt import LEARNT

TASK = Task("quantiles", 2, (0.1, 0.5), ("no", "yes", "never"), (), (), 1, paths=3)


def signals(prediction: Prediction, classes: tuple[str, ...] = ()) -> dict[str, Any]:
    return ANSWERS[prediction.kind].signals(prediction, classes)


def test_every_form_has_its_class() -> None:
    assert set(ANSWERS) == set(get_args(Kind))
    assert set(LEARNT) < set(ANSWERS)


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_every_value_has_a_name_of_its_own(kind: Kind) -> None:
    names = ANSWERS[kind].columns(TASK, lambda level: f"q{100 * level:g}")
    assert len(set(names)) == len(names) == np.prod(ANSWERS[kind].shape(TASK))


def test_names_run_as_the_values_lie() -> None:
    assert ANSWERS["quantiles"].columns(TASK, str) == ["h1_0.1", "h1_0.5", "h2_0.1", "h2_0.5"]
    assert ANSWERS["paths"].columns(TASK, str)[:3] == ["path1_h1", "path1_h2", "path2_h1"]
    assert ANSWERS["probabilities"].columns(TASK, str) == ["no", "yes", "never"]


def test_signals_say_where_and_how_wide() -> None:
    values = np.array([[[-1.0, 0.0, 3.0], [-2.0, 1.0, 5.0]]], dtype=np.float32)
    found = signals(Prediction("quantiles", values, (0.1, 0.5, 0.9)))
    assert {name: signal.tolist() for name, signal in found.items()} == {"median": [1.0], "width": [7.0]}
    two = signals(Prediction("probabilities", np.array([[0.3, 0.7]], dtype=np.float32)), ("repaid", "defaulted"))
    assert list(two) == ["defaulted"]
    assert list(signals(Prediction("scores", np.ones((2, 3), dtype=np.float32)))) == ["score"]
    assert list(signals(Prediction("variances", np.ones((2, 3), dtype=np.float32)))) == ["log_variance"]
    paths = cast(Any, np.arange(12, dtype=np.float32).reshape(1, 4, 3))
    assert {name: signal.tolist() for name, signal in signals(Prediction("paths", paths)).items()} == {
        "mean": [6.5],
        "deviation": [pytest.approx(np.std([2, 5, 8, 11]))],
    }


def test_without_a_pair_of_levels_there_is_no_width() -> None:
    values = np.zeros((1, 1, 2), dtype=np.float32)
    assert list(signals(Prediction("quantiles", values, (0.1, 0.5)))) == ["median"]
    assert signals(Prediction("quantiles", values, (0.1, 0.2))) == {}


def test_who_knew_the_targets_answers_them() -> None:
    target = np.array([[1.0, 2.0]], dtype=np.float32)
    assert cast(Any, ANSWERS["quantiles"].known(target, (0.1, 0.5, 0.9))).tolist() == [[[1.0] * 3, [2.0] * 3]]
    assert cast(Any, ANSWERS["variances"].known(target, ())).tolist() == [[1.0, 2.0]]
    assert [kind for kind, answer in ANSWERS.items() if answer.known(target, ()) is None] == ["probabilities", "scores", "paths"]


def test_a_mean_is_an_answer_of_scores_variances_and_probabilities_alone() -> None:
    assert [kind for kind, answer in ANSWERS.items() if isinstance(answer, Averaged)] == ["probabilities", "scores", "variances"]
    assert not hasattr(ANSWERS["quantiles"], "usual")
    assert not hasattr(ANSWERS["paths"], "usual")
