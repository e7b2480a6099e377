"""The problem `outcome`: targets and when they are known, costs by hand, rows and back, what a definition may not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Prediction
from finflow.models.rows.categories import category_code
from finflow.models.samples import CATEGORIES
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition, problem_of
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.problems.outcome import Costs
from finflow.pipelines.problems.outcome_scores import cost_loss, cost_threshold
from finflow.pipelines.samples.windows import build_samples, task_of
from finflow.pipelines.sources import ReplaySource
from tests.support.row_support import loan_rows, loan_values

AS_OF = pd.Timestamp("2021-12-31T23:59:59Z")


def loans(**problem: Any) -> Definition:
    values = loan_values(Path("loans.csv"))
    values["problem"] = {**values["problem"], **problem}
    values["candidates"], values["baselines"] = {"majority": {"model": "majority"}}, {"base-rate": {"model": "class_frequency"}}
    return parse_definition(values)


def test_a_row_is_a_sample_with_missing_numbers_and_codes() -> None:
    frame = loan_rows(400)
    samples = build_samples(loans(), frame, AS_OF)
    task = task_of(loans(), samples.columns)
    assert task.features == ("amount", "income", "age")
    assert task.categories == ("purpose", "region")
    assert task.missing
    assert len(samples) == 400, "a missing value is no reason to leave a row out"
    assert np.isnan(samples.gather(length=1)[:, 0, 1]).sum() == frame["income"].isna().sum()
    codes = samples.gather_categories()[:, 0]
    missing = frame["purpose"].isna().to_numpy()
    assert (codes[missing, 0] == 0).all()
    assert codes[~missing, 0].tolist() == [category_code(text) for text in frame["purpose"][~missing]]
    assert samples.observations.blocks[CATEGORIES].dtype == np.int64
    assert samples.index.groups["sex"].tolist() == frame["sex"].tolist()


def test_an_outcome_counts_from_the_end_of_its_window() -> None:
    frame = loan_rows(400)
    frame.loc[:9, "defaulted"] = np.nan
    samples = build_samples(loans(), frame, AS_OF)
    late = frame["time"] + pd.Timedelta(days=60) > AS_OF.tz_localize(None)
    assert late.any()
    known = ~late.to_numpy() & frame["defaulted"].notna().to_numpy()
    assert samples.index.labelled.tolist() == known.tolist()
    assert samples.index.target[known, 0].tolist() == frame["defaulted"][known].tolist()
    assert (samples.index.label_end[known] == (frame["time"][known] + pd.Timedelta(days=60)).to_numpy("datetime64[ns]")).all()


def test_a_column_may_say_when_the_outcome_became_known() -> None:
    frame = loan_rows(200)
    told = frame["time"] + pd.Timedelta(hours=30)
    frame["reported"] = told.dt.strftime("%Y-%m-%dT%H:%M:%S")
    frame.loc[::2, "reported"] = None
    samples = build_samples(loans(known_column="reported"), frame, pd.Timestamp("2023-01-01T00:00Z"))
    expected = told.where(frame["reported"].notna(), frame["time"] + pd.Timedelta(days=60))
    assert (samples.index.label_end == expected.to_numpy("datetime64[ns]")).all()
    assert (samples.index.target_time[:, 0] == samples.index.time).all(), "it may be known at any time after the row"
    frame["reported"] = "soon"
    with pytest.raises(DefinitionError, match="'reported' holds a value that is no ISO time"):
        build_samples(loans(known_column="reported"), frame, AS_OF)


def test_texts_and_whole_numbers_name_the_last_class() -> None:
    frame = loan_rows(60).assign(defaulted=["charged off", "paid", None] * 20)
    index = build_samples(loans(positive=["charged off", "late"]), frame, pd.Timestamp("2023-01-01T00:00Z")).index
    assert index.target[:, 0].tolist()[:2] == [1.0, 0.0]
    assert np.isnan(index.target[2, 0])


def test_costs_and_thresholds_by_hand() -> None:
    costs = Costs(false_positive=1, false_negative=4)
    stake = np.array([np.nan, 1.0, 25.0, 0.0, -3.0])
    assert cost_threshold(stake, costs).tolist() == [0.2, 0.2, 1 / 101, 1.0, 1.0]
    chance, code = np.array([0.1, 0.1, 0.3, 0.3]), np.array([0, 1, 0, 1])
    assert cost_loss(chance, code, np.full(4, np.nan), costs).tolist() == [0.0, 4.0, 1.0, 0.0]
    assert cost_loss(chance, code, np.full(4, 10.0), costs).tolist() == [1.0, 0.0, 1.0, 0.0]


def test_rows_are_laid_out_and_read_back() -> None:
    definition = loans(stake="amount")
    frame = loan_rows(50)
    samples = build_samples(definition, frame, AS_OF)
    problem = problem_of(definition)
    bad = np.random.default_rng(0).random(50).astype(np.float32)
    prediction = Prediction("probabilities", np.column_stack([1 - bad, bad]))
    rows = problem.rows(prediction, samples.index, samples.observations.entities)
    assert list(rows.columns) == ["entity", "time", "target_time", "horizon", "p_good", "p_bad", "threshold"]
    assert rows["threshold"].to_numpy() == pytest.approx(1 / (1 + 5 * frame["amount"].to_numpy()))
    back = problem.answers(rows.sample(frac=1, random_state=1), samples.index, samples.observations.entities)
    assert (back.values == prediction.values).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"afterwards": ["age"]}, "age is known only after the outcome"),
        ({"afterwards": ["sex", "lateness"]}, r"problem\.afterwards: no column 'lateness'; there are 'amount', 'income'"),
        ({"known_before": ["purpose", "sex"]}, r"problem\.known_before: no feature 'sex'; there are 'amount', 'income', 'age', 'purpose'"),
        ({"column": "amount"}, "amount is known only after the outcome"),
        ({"classes": ["good", "good"]}, "two different names"),
        ({"classes": ["good", "very bad"]}, "use lower-case letters"),
        ({"top_a_day": [5, 5]}, "different counts"),
        ({"costs": {"false_positive": 0}}, "greater than 0"),
        ({"positive": []}, "at least 1"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        loans(**changes)


def test_a_column_known_afterwards_is_one_of_those_that_the_source_gives(home: Home) -> None:
    """What only a read tells of a simulated table, ingest refuses before anything is written."""
    source = {"kind": "loan_book", "days": 60, "daily": 2, "seed": 1}

    def definition(**more: Any) -> Definition:
        values = loan_values(Path("x"), features=[{"kind": "value", "column": "amount", "name": "amount"}], source={**source, **more})
        values["problem"]["afterwards"] = ["accepted"]
        return parse_definition(values)

    with pytest.raises(DefinitionError, match=r"problem\.afterwards: no column 'accepted'; there are 'entity', 'time', 'amount'"):
        ingest(open_context(definition(), home))
    assert Lake(home.lake).version("raw/loans") is None
    replayed = definition().source
    assert replayed.offered is None
    assert ReplaySource(source={"kind": "csv", "path": "x", "columns": {"a": "A"}}, start="2020-01-01", until="2020-02-01").offered  # type: ignore[arg-type]
    assert ingest(open_context(definition(rejected=True), home)).rows > 60


def test_a_sample_is_one_row() -> None:
    with pytest.raises(DefinitionError, match=r"window.length 5: a sample of the problem 'outcome' is one row"):
        parse_definition(
            loan_values(
                Path("x.csv"),
                window={"length": 5, "horizon": 1},
                candidates={"m": {"model": "majority"}},
                baselines={"base-rate": {"model": "class_frequency"}},
            )
        )


def test_an_outcome_window_ends_at_the_hour_at_which_it_began() -> None:
    """Transactions of ten in the evening, known a day later: not at midnight, two hours after them."""
    frame = loan_rows(20).assign(time=pd.Timestamp("2020-03-01T22:00") + pd.to_timedelta(np.arange(20), unit="h"), entity="C1")
    feature = {"kind": "outcome_count_before", "name": "known", "key": "entity"}
    values = loan_values(Path("loans.csv"), features=[feature, {"kind": "outcome_rate_before", "name": "rate", "key": "entity"}])
    values["problem"] |= {"known_after_days": 1}
    samples = build_samples(parse_definition(values), frame.assign(defaulted=1.0))
    assert (samples.index.label_end - samples.index.time == np.timedelta64(1, "D")).all()
    assert (samples.index.target_time[:, 0] == samples.index.target_time[:, 0].astype("datetime64[D]")).all(), "a date, as in the table"
    assert not samples.observations.values[:, 0].any(), "within a day nothing has become known"
