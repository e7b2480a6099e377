"""Boosting a million rows inside finflow against bare LightGBM with the same parameters on ready-made arrays, in one run on one thread.

Seconds are the processor's, the better of two turns that alternate, so that what else the machine does bears little on the ratio.

Inside: samples gathered, categories looked up in a vocabulary fitted here, two classes checked, trees checked and read again, calibrated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest

from finflow.models.base import Hardware
from finflow.models.rows.boosting import Boosting
from finflow.models.rows.calibration import split_validation
from finflow.models.rows.categories import Vocabulary, category_codes
from finflow.models.rows.tabular import TabularSettings
from tests.benchmarks.figures import record
from tests.support.models.tabular_cases import as_samples, unfitted

ROWS, VALIDATED, ROUNDS, TURNS = 1_000_000, 100_000, 50, 2


@pytest.mark.benchmark
def test_a_million_rows() -> None:
    random = np.random.default_rng(0)
    count = ROWS + VALIDATED
    values = random.normal(size=(count, 16)).astype(np.float32)
    values[random.random(values.shape) < 0.05] = np.nan
    levels = random.integers(0, 30, (count, 4))
    score = np.nan_to_num(values[:, :4]).sum(axis=1) + 0.1 * (levels[:, 0] - 15) - 3
    target = random.random(count) < 1 / (1 + np.exp(-score))
    time_ = np.datetime64("2020-01-01", "ns") + np.arange(count) * np.timedelta64(1, "m")
    codes = np.array(category_codes([f"level {number}" for number in range(30)]))[levels]
    texts = tuple(f"c{number}" for number in range(4))
    samples, task = as_samples(values, codes, target, time_, tuple(f"x{number}" for number in range(16)), texts)
    train, validation = samples.take(np.arange(ROWS)), samples.take(np.arange(ROWS, count))
    model = unfitted("boosting", task, rounds=ROUNDS, patience=ROUNDS)
    assert isinstance(model, Boosting)

    assert isinstance(model.settings, TabularSettings)
    stopping, late = split_validation(validation, model.settings.calibration)
    model.vocabulary = Vocabulary.of(model.codes(train))
    inputs, asked, later = (model._inputs(part) for part in (train, stopping, late))
    parameters = model._parameters(1, 1)

    def bare_fit() -> lightgbm.Booster:
        own = lightgbm.Dataset(inputs, train.targets[:, 0], params=parameters, categorical_feature=list(range(16, 20)))
        stop = lightgbm.early_stopping(ROUNDS, verbose=False)
        found = lightgbm.train(parameters, own, ROUNDS, valid_sets=[own.create_valid(asked, stopping.targets[:, 0])], callbacks=[stop])
        found.predict(later, num_threads=1)
        return found

    seconds: dict[str, list[float]] = {}

    def timed(what: str, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        began = time.process_time()
        found = work(*given, **named)
        seconds.setdefault(what, []).append(time.process_time() - began)
        return found

    for _ in range(TURNS):
        timed("fit", model.fit, train, validation, seed=1, hardware=Hardware())
        bare = timed("bare_fit", bare_fit)
        found = timed("predict", model.predict, train).values
        expected = timed("bare_predict", bare.predict, inputs, num_threads=1)
    np.testing.assert_allclose(model.raw_probability(train.take(np.arange(1000))), expected[:1000], rtol=1e-9)
    assert np.corrcoef(found[:, 1], expected)[0, 1] > 0.99
    best = {what: min(each) for what, each in seconds.items()}
    for what, one in (("training", "fit"), ("scoring", "predict")):
        record(
            f"boosting, {what} of a million rows against bare LightGBM",
            ratio=best[f"bare_{one}"] / best[one],
            at_least=0.8,
            rows_per_second=ROWS / best[one],
            bare_rows_per_second=ROWS / best[f"bare_{one}"],
        )
