"""Every model of rows on what real tables do: empty and constant columns, categories it never met, a row of which nothing is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Hardware, Model
from finflow.models.rows.tabular import TabularModel
from finflow.models.zoo import ZOO, model_class
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.fits.data import cut, unfitted
from finflow.pipelines.samples.windows import build_samples, task_of
from tests.support.row_support import NUMBERS, loan_rows, loan_values

LATE = pd.Timestamp("2030-01-01T00:00Z")
LOANS = parse_definition(
    loan_values(Path("x.csv"), candidates={"majority": {"model": "majority"}}, baselines={"base-rate": {"model": "class_frequency"}})
)
ROWS = sorted(name for name in ZOO if issubclass(model_class(name), TabularModel))


#: networks may stop early here: what is asked is whether there is an answer, not how good it is
SHORT = {name: {"epochs": 5} for name in ROWS if "epochs" in model_class(name).Settings.model_fields}


def fitted(name: str, frame: pd.DataFrame, folder: Path) -> Model:
    samples = build_samples(LOANS, frame, LATE)
    model = unfitted(name, SHORT.get(name, {}), task_of(LOANS, samples.columns).to_dict())
    train, validation = cut(samples, (np.arange(0, 900), np.arange(900, 1300)), model.context, folder)
    model.fit(train, validation, seed=1, hardware=Hardware())
    return model


def answers(model: Model, frame: pd.DataFrame) -> np.ndarray:
    values = model.predict(build_samples(LOANS, frame.reset_index(drop=True), LATE)).values
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values.sum(axis=-1), 1, rtol=1e-5)
    return np.asarray(values[..., -1]).ravel()


@pytest.mark.parametrize("name", ROWS)
def test_empty_and_constant_columns_are_learnt_around(name: str, tmp_path: Path) -> None:
    frame = loan_rows(1400).assign(age=np.nan, region="north", amount=lambda rows: rows["amount"].round(2))
    model = fitted(name, frame.assign(purpose=pd.Series([None] * 1400, dtype="str")), tmp_path)
    found = answers(model, frame.tail(100))
    full = answers(model, loan_rows(1400).tail(100))
    assert ((found > 0) & (found < 1)).all()
    assert ((full > 0) & (full < 1)).all(), "what was empty in training may hold values later"


@pytest.mark.parametrize("name", ROWS)
def test_what_was_never_met_has_an_answer(name: str, tmp_path: Path) -> None:
    frame = loan_rows(1400)
    model = fitted(name, frame, tmp_path)
    last = frame.tail(60)
    known = answers(model, last)
    unseen = answers(model, last.assign(purpose="space travel", region="the moon"))
    nothing = answers(model, last.assign(**dict.fromkeys(NUMBERS, np.nan), purpose=None, region=None))
    extreme = answers(model, last.assign(amount=1e12, income=-1e12, age=1e12))
    for found in (known, unseen, nothing, extreme):
        assert ((found >= 0) & (found <= 1)).all()
    assert np.ptp(nothing) < 1e-6, "rows of which nothing is known have one answer"
    assert 0.02 < nothing[0] < 0.98, "and no certain one"
    other = answers(model, last.assign(purpose="time travel", region="the sun"))
    np.testing.assert_allclose(other, unseen, rtol=1e-6, err_msg="unknown is one value, whatever it is called")
