"""Boosting a million rows inside finflow against bare LightGBM with the same parameters on ready-made arrays, in one run on one thread.

Inside: samples gathered, categories looked up in a vocabulary fitted here, two classes checked, trees checked and read again, calibrated.
"""

from __future__ import annotations

import time

import lightgbm
import numpy as np
import pytest

from models.base import Hardware
from models.boosting import Boosting
from models.calibration import split_validation
from models.categories import category_codes
from models.tabular import TabularSettings
from tests.benchmarks.figures import record
from tests.models.tabular_cases import as_samples, unfitted

ROWS, VALIDATED, ROUNDS = 1_000_000, 100_000, 100


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

    seconds: dict[str, float] = {}
    began = time.perf_counter()
    model.fit(train, validation, seed=1, hardware=Hardware())
    seconds["fit"] = time.perf_counter() - began
    began = time.perf_counter()
    found = model.predict(train).values
    seconds["predict"] = time.perf_counter() - began

    assert isinstance(model.settings, TabularSettings)
    stopping, late = split_validation(validation, model.settings.calibration)
    inputs, asked, later = (model._inputs(part) for part in (train, stopping, late))
    parameters = model._parameters(1, 1)
    began = time.perf_counter()
    own = lightgbm.Dataset(inputs, train.targets[:, 0], params=parameters, categorical_feature=list(range(16, 20)))
    stop = lightgbm.early_stopping(ROUNDS, verbose=False)
    bare = lightgbm.train(parameters, own, ROUNDS, valid_sets=[own.create_valid(asked, stopping.targets[:, 0])], callbacks=[stop])
    bare.predict(later, num_threads=1)
    seconds["bare_fit"] = time.perf_counter() - began
    began = time.perf_counter()
    expected = np.asarray(bare.predict(inputs, num_threads=1))
    seconds["bare_predict"] = time.perf_counter() - began
    np.testing.assert_allclose(model.raw_probability(train.take(np.arange(1000))), expected[:1000], rtol=1e-9)
    assert np.corrcoef(found[:, 1], expected)[0, 1] > 0.99
    for what, one in (("training", "fit"), ("scoring", "predict")):
        record(
            f"boosting, {what} of a million rows against bare LightGBM",
            ratio=seconds[f"bare_{one}"] / seconds[one],
            at_least=0.8,
            rows_per_second=ROWS / seconds[one],
            bare_rows_per_second=ROWS / seconds[f"bare_{one}"],
        )
