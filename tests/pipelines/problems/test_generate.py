"""Scenarios as a problem: which samples count, what is asked, how rows are laid out and read back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Prediction
from finflow.pipelines.core.code import sample_code
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import parse_definition, problem_of
from finflow.pipelines.problems.generate import Generate, path_columns
from finflow.pipelines.samples.windows import build_samples, task_of
from tests.support.scenario_support import scenario_values


def clean(days: int = 300, entities: tuple[str, ...] = ("A", "B")) -> pd.DataFrame:
    dates = pd.bdate_range("2020-01-01", periods=days)
    random = np.random.default_rng(1)
    frames = [
        pd.DataFrame({"entity": name, "time": dates, "close": 100 * np.exp(np.cumsum(random.normal(0, 0.01, days)))}) for name in entities
    ]
    return pd.concat(frames, ignore_index=True)


def of(**problem: object) -> Generate:
    values = scenario_values(calendar=None)
    found = problem_of(parse_definition({**values, "problem": {**values["problem"], **problem}}))
    assert isinstance(found, Generate)
    return found


@pytest.mark.parametrize(("every", "label"), [("week", "W-SUN"), ("month", "M")])
def test_labelled_are_the_last_rows_of_each_period(every: str, label: str) -> None:
    values = scenario_values(calendar=None)
    definition = parse_definition({**values, "problem": {**values["problem"], "every": every}})
    rows = clean()
    samples = build_samples(definition, rows)
    labelled = samples.index.take(samples.index.labelled)
    times = pd.DatetimeIndex(rows["time"].unique())
    last = pd.Series(times, index=times).groupby(times.to_period(label)).max()
    expected = [time for time in last if times.get_loc(time) >= 30 and times.get_loc(time) + 8 < len(times)]
    assert list(pd.DatetimeIndex(labelled.time[labelled.entity == 0])) == expected
    assert len(samples) > 4 * len(labelled)  # any other day can be scored


def test_targets_are_cumulative_log_returns() -> None:
    values = scenario_values(calendar=None)
    definition = parse_definition({**values, "problem": {**values["problem"], "every": "day"}})
    rows = clean()
    samples = build_samples(definition, rows)
    close = rows.loc[rows["entity"] == "B", "close"].to_numpy()
    mine = samples.index.take(samples.index.entity == 1)
    place = int(mine.row[5] - samples.observations.first[1])
    np.testing.assert_allclose(mine.target[5], np.log(close[place + 1 : place + 9] / close[place]), rtol=1e-5)
    assert mine.origin[5] == pytest.approx(close[place])
    task = task_of(definition, samples.columns)
    assert (task.kind, task.outputs, task.paths, task.increment) == ("paths", 8, 100, "__increment")


def test_rows_hold_prices_and_risks_and_are_read_back() -> None:
    problem = of()
    samples = build_samples(parse_definition(scenario_values(calendar=None)), clean())
    some = samples.index.take(np.array([3, 200]))
    steps = np.random.default_rng(2).normal(0, 0.01, (2, 100, 8))
    answer = Prediction("paths", np.cumsum(steps, axis=2).astype(np.float32))
    rows = problem.rows(answer, some, samples.observations.entities)
    assert len(rows) == 16
    assert path_columns(100)[-1] == "path_100"
    first = rows[(rows["entity"] == "A") & (rows["horizon"] == 8)].iloc[0]
    assert first["path_007"] == pytest.approx(some.origin[0] * np.exp(answer.values[0, 6, 7]))
    losses = np.sort(-np.expm1(answer.values[0, :, 7].astype(np.float64)))[::-1]
    assert first["es_95"] == pytest.approx(losses[:5].mean())
    assert losses[5] <= first["var_95"] <= losses[4]
    assert (rows["stressed_es_95"] > 0).all()
    back = problem.answers(rows.sample(frac=1, random_state=1), some, samples.observations.entities)
    np.testing.assert_allclose(back.values, answer.values, atol=1e-6)


def test_scales_are_deviations_of_a_step() -> None:
    problem = of(every="day")
    values = scenario_values(calendar=None)
    samples = build_samples(parse_definition({**values, "problem": {**values["problem"], "every": "day"}}), clean(800))
    scales = problem.scale_of(samples.index.take(samples.index.entity == 0))
    assert scales[0] == pytest.approx(0.01, rel=0.1)
    assert scales[1] == pytest.approx(scales[0], rel=0.05)  # an entity that the training part does not hold


def test_too_few_paths_for_the_risk_asked_for_are_refused() -> None:
    values = scenario_values()
    with pytest.raises(DefinitionError, match="set paths to 400 at least"):
        parse_definition({**values, "problem": {"kind": "generate", "paths": 399}})
    with pytest.raises(DefinitionError, match="stylised_facts"):
        parse_definition({**values, "gate": {"loss": "path_crps", "backtests": ["kupiec"]}})


def test_a_path_of_one_step_is_refused_when_the_definition_is_read() -> None:
    with pytest.raises(DefinitionError, match=r"set window\.horizon"):
        parse_definition(scenario_values(window={"length": 30, "horizon": 1}))


def test_stored_samples_hang_on_the_code_that_their_targets_come_from() -> None:
    names = {module.rpartition(".")[2] for module in sample_code(type(problem_of(parse_definition(scenario_values()))))}
    assert {"generate", "forecast", "prices", "category_texts", "rows"} <= names
