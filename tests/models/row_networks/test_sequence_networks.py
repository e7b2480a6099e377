"""Networks on an entity's last rows: they see what came before, and nothing of what did not happen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finflow.models.base import Task
from finflow.models.row_networks import row_batches as module
from finflow.models.samples import Samples, from_windows
from finflow.models.saving import load_model, save_model
from tests.support.models.row_network_cases import area, fitted, rows, samples_of, split

NAMES = ["sequence_cnn", "sequence_lstm"]


def jumps(count: int = 4000, entities: int = 200) -> tuple[Samples, Task]:
    """Fraud is likely where this row's number differs much from the last one's: one row alone says little."""
    random = np.random.default_rng(1)
    values = random.normal(size=(count, 3)).astype(np.float32)
    first = np.linspace(0, count, entities + 1).astype(np.int64)[:-1]
    before = np.concatenate([[0], values[:-1, 0]])
    before[first] = values[first, 0]
    odds = 6 * (np.abs(values[:, 0] - before) > 1.2) - 4.5
    target = (random.random(count) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    return samples_of(values, np.zeros((count, 0), dtype=np.int64), target, entities)


@pytest.mark.parametrize("name", NAMES)
def test_sees_the_row_before(name: str) -> None:
    samples, task = jumps()
    test = split(samples)[2]
    model = fitted(name, samples, task, epochs=15, learning_rate=0.01, patience=15)
    # The number itself, without the one before it, has .73 here.
    assert area(model.predict(test).values[:, 1], test.targets[:, 0]) > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_bits_are_a_rows_own_however_it_comes(name: str, tmp_path: Path) -> None:
    samples, task = rows(900, entities=60)
    model = fitted(name, samples, task)
    assert model.context == 4
    values = model.predict(samples).values
    np.testing.assert_array_equal(values, fitted(name, samples, task).predict(samples).values)
    some = np.random.default_rng(2).permutation(len(samples))[:41]
    np.testing.assert_array_equal(model.predict(samples.take(some)).values, values[some])
    windows = from_windows(samples.gather(some, length=4), samples.columns, 1, categories=samples.gather_categories(some, length=4))
    np.testing.assert_array_equal(model.predict(windows).values, values[some])
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(samples).values, values)


@pytest.mark.parametrize("name", NAMES)
def test_later_rows_and_other_entities_have_no_say(name: str) -> None:
    samples, task = rows(900, entities=60)
    model = fitted(name, samples, task)
    first = samples.observations.first
    early = samples.take(np.sort(np.concatenate([first[:-1], first[:-1] + 5])))
    changed = samples.observations.values.copy()
    changed[(np.arange(900) - first[samples.observations.entity]) > 5] = 99
    again = replace(early, observations=replace(samples.observations, values=changed))
    np.testing.assert_array_equal(model.predict(again).values, model.predict(early).values)


def test_rows_before_the_first_do_not_reach_the_state() -> None:
    """A customer's first row is answered the same whether three rows or none could have come before it."""
    samples, task = rows(900, entities=60)
    model = fitted("sequence_lstm", samples, task)
    first = samples.take(samples.observations.first[:-1])
    longer = type(model)(model.settings.model_copy(update={"length": 9}), task)
    longer.encoding, longer.forecaster = model.encoding, model.forecaster
    np.testing.assert_allclose(longer.log_odds(first), model.log_odds(first), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_contributions_of_a_sequence_add_up(name: str) -> None:
    samples, task = rows(900, entities=60)
    model = fitted(name, samples, task)
    chosen = samples.take(np.arange(0, 900, 13))
    found = model.contributions(chosen)
    assert found.values.shape == (len(chosen), 5)
    assert np.abs(found.error).max() < 0.02
    np.testing.assert_allclose(found.score, model.log_odds(chosen), atol=1e-4)


def test_both_layouts_draw_the_same_windows() -> None:
    samples, task = rows(300, entities=20)
    model = fitted("sequence_cnn", samples, task)
    assert model.encoding is not None
    few = samples.take(np.arange(0, 300, 11))
    alone = module.row_batches(few, model.encoding, task.feature_positions, 4)
    whole = module.row_batches(samples, model.encoding, task.feature_positions, 4)
    assert len(alone.prepared) < len(whole.prepared)
    np.testing.assert_array_equal(alone.draw(np.arange(len(few))), whole.draw(np.arange(0, 300, 11)))
