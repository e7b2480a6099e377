"""The problem `risk`: losses, portfolios, scores, rows, and backtests as checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from finflow.models.base import Prediction
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import parse_definition, problem_of
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.problems.portfolio import portfolio_bars
from finflow.pipelines.samples.windows import build_samples
from finflow.pipelines.settings.parts import Gate
from tests.support.pipelines.bars import bars as panel_of
from tests.support.risk_support import risk_values

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995)


def bars(entity: str, closes: list[float], days: list[int] | None = None) -> pd.DataFrame:
    time = pd.Timestamp("2020-01-06") + pd.to_timedelta(range(len(closes)) if days is None else days, unit="D")
    close = np.array(closes)
    return pd.DataFrame({"entity": entity, "time": time, "open": close, "high": close * 1.1, "low": close * 0.9, "close": close})


def index_of(losses: np.ndarray) -> SampleIndex:
    count = len(losses)
    time = np.datetime64("2015-01-01", "ns") + np.arange(count) * np.timedelta64(1, "D")
    return SampleIndex(
        row=np.arange(count),
        time=time,
        label_start=time + np.timedelta64(1, "D"),
        label_end=time + np.timedelta64(1, "D"),
        entity=np.zeros(count, dtype=np.int64),
        target=losses[:, None].astype(np.float32),
        target_time=(time + np.timedelta64(1, "D"))[:, None],
        origin=np.full(count, 100.0),
    )


def forecasts(width: np.ndarray) -> Prediction:
    """Quantiles of a t law with 5 degrees of freedom, so wide."""
    return Prediction("quantiles", (width[:, None, None] * stats.t(5).ppf(LEVELS)[None, None, :]).astype(np.float32), LEVELS)


def test_a_portfolios_return_is_the_weighted_mean_of_plain_returns() -> None:
    clean = pd.concat([bars("B", [50, 55, 44]), bars("A", [100, 110, 121]), bars("C", [1, 2, 3])])
    found = portfolio_bars(clean, {"A": 0.6, "B": 0.4}, "BOOK")
    np.testing.assert_allclose(found["close"], [100, 110, 110 * (1 + 0.6 * 0.1 - 0.4 * 0.2)])
    assert set(found["entity"]) == {"BOOK"}
    np.testing.assert_allclose(found["high"].iloc[1], 100 * (1 + 0.6 * 0.21 + 0.4 * 0.21))
    assert (found["low"] <= found["close"]).all()


def test_what_was_sold_gains_where_its_price_falls() -> None:
    clean = pd.concat([bars("A", [100, 110]), bars("B", [50, 60])])
    found = portfolio_bars(clean, {"A": 1.0, "B": -0.5}, "BOOK")
    np.testing.assert_allclose(found["close"], [100, 100 * (1 + 0.1 - 0.5 * 0.2)])
    np.testing.assert_allclose(found["high"].iloc[1], 100 * (1 + 0.21 - 0.5 * (60 * 0.9 / 50 - 1)))
    assert (found["high"] >= found["low"]).all()


def test_a_portfolio_has_the_dates_that_all_members_have() -> None:
    clean = pd.concat([bars("A", [100, 120, 150], [0, 1, 2]), bars("B", [10, 11], [0, 2])])
    found = portfolio_bars(clean, {"A": 0.5, "B": 0.5}, "BOOK")
    np.testing.assert_allclose(found["close"], [100, 100 * (1 + 0.5 * 0.5 + 0.5 * 0.1)])
    with pytest.raises(DefinitionError, match="names Z"):
        portfolio_bars(clean, {"A": 0.5, "Z": 0.5}, "BOOK")


def test_the_past_of_a_portfolio_does_not_change_with_the_future() -> None:
    clean = panel_of(60)
    whole = portfolio_bars(clean, {"A": 0.6, "B": 0.4}, "BOOK")
    part = portfolio_bars(clean[clean["time"] <= whole["time"][30]], {"A": 0.6, "B": 0.4}, "BOOK")
    pd.testing.assert_frame_equal(whole.iloc[: len(part)], part)


def test_targets_are_tomorrows_loss() -> None:
    definition = parse_definition(risk_values())
    clean = definition.source.read()
    samples = build_samples(definition, clean)
    assert samples.observations.entities == ("BOOK",)
    by_name = {name: part.set_index("time")["close"] for name, part in clean.groupby("entity")}
    mix = 0.6 * by_name["S1"].pct_change() + 0.4 * by_name["S2"].pct_change()
    following = -mix.shift(-1).reindex(pd.DatetimeIndex(samples.index.time)).to_numpy()
    np.testing.assert_allclose(samples.index.target[:-1, 0], following[:-1], atol=1e-7)
    assert np.isnan(samples.index.target[-1, 0])
    own = samples.observations.values[samples.index.row, samples.column("__increment")]
    np.testing.assert_allclose(own, -mix.reindex(pd.DatetimeIndex(samples.index.time)), atol=1e-7)


def test_without_weights_each_entity_is_a_position() -> None:
    values = risk_values()
    del values["problem"]["weights"]
    samples = build_samples(definition := parse_definition(values), definition.source.read())
    assert samples.observations.entities == ("S1", "S2")


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ({"levels": [0.05, 0.5, 0.95]}, "among the levels"),
        ({"confidences": [0.99, 0.95]}, "ascend"),
        ({"weights": {"S1": 0.0}}, "other than 0"),
        ({"tail_shape": 1.0}, "tail_shape"),
        ({"column": "open"}, "portfolio is made of closes"),
        ({"portfolio": "a\nb"}, "portfolio"),
    ],
)
def test_a_wrong_problem_names_its_fault(problem: dict[str, Any], expected: str) -> None:
    values = risk_values()
    with pytest.raises(DefinitionError, match=expected):
        parse_definition({**values, "problem": {**values["problem"], **problem}})


def test_the_gate_names_only_backtests_that_there_are() -> None:
    values = risk_values()
    with pytest.raises(DefinitionError, match=r"coin.*kupiec"):
        parse_definition({**values, "gate": {**values["gate"], "backtests": ["coin"]}})
    with pytest.raises(DefinitionError, match=r"set window\.horizon to 1"):
        parse_definition({**values, "window": {"length": 10, "horizon": 5}})
    from tests.support import tiny_values

    with pytest.raises(DefinitionError, match=r"no checks of the problem 'forecast': it has none"):
        parse_definition(tiny_values(gate={"loss": "mae", "backtests": ["kupiec"]}))


def test_rows_hold_the_measures_and_are_read_back() -> None:
    problem = problem_of(parse_definition(risk_values()))
    width = np.linspace(0.01, 0.02, 30)
    index, prediction = index_of(np.zeros(30)), forecasts(width)
    rows = problem.rows(prediction, index, ("BOOK",))
    assert {"q99", "var_95", "es_95", "var_97_5", "es_97_5", "var_99", "es_99"} <= set(rows.columns)
    np.testing.assert_allclose(rows["var_99"], width * stats.t(5).ppf(0.99), rtol=1e-6)
    assert (rows["es_99"] > rows["es_97_5"]).all()
    read = problem.answers(rows.sample(frac=1.0, random_state=0), index, ("BOOK",))
    assert np.array_equal(read.values, prediction.values)


def test_losses_are_lowest_for_the_right_width() -> None:
    problem = problem_of(parse_definition(risk_values()))
    index = index_of(0.01 * stats.t(5).rvs(20_000, random_state=1))
    found = {scale: problem.losses(forecasts(np.full(20_000, 0.01 * scale)), index) for scale in (0.7, 1.0, 1.4)}
    for name in found[1.0]:
        means = {scale: losses[name].mean() for scale, losses in found.items()}
        assert min(means, key=means.__getitem__) == 1.0, name
    assert problem.logarithmic("fz0_97_5")
    assert not problem.logarithmic("pinball_99")
    shares = {part.name: part for part in problem.metrics(forecasts(np.full(20_000, 0.01)), index, np.ones(20_000))}
    assert shares["exceptions_99"].components[0].mean() == pytest.approx(0.01, abs=0.002)
    assert shares["exceptions_99"].target == 0.01


def checks_of(scale: float, clustered: bool = False, **gate: Any) -> dict[str, Any]:
    """Five years of losses with a width of 1 %, or one that moves while the forecast's stays."""
    random = np.random.default_rng(21)
    width = np.where((np.arange(1_250) // 125) % 2, 1.7, 0.5) if clustered else np.ones(1_250)
    losses = 0.01 * width * random.standard_t(5, 1_250)
    problem = problem_of(parse_definition(risk_values()))
    every = ("kupiec", "christoffersen_independence", "christoffersen", "expected_shortfall", "traffic_light")
    found = problem.checks(
        forecasts(np.full(1_250, 0.01 * scale)), index_of(losses), Gate(loss="fz0_97_5", backtests=every, **gate), seed=1
    )
    return {check.name: check for check in found}


def test_a_right_model_passes_its_backtests() -> None:
    found = checks_of(1.0)
    assert len(found) == 5
    assert all(check.passed for check in found.values()), found
    assert 0 < found["kupiec"].figures["p"] <= found["kupiec"].figures["p_bound"] <= 1
    assert "asymptotic p none" in found["expected_shortfall"].words


def test_a_model_that_is_too_narrow_fails_them() -> None:
    found = checks_of(0.5)
    for name in ("kupiec", "christoffersen", "expected_shortfall", "traffic_light"):
        assert not found[name].passed, name
    assert "red zone" in found["traffic_light"].words
    assert "exceptions at 99 % in 1250 days (expected 12.5)" in found["kupiec"].words


def test_a_model_that_is_too_wide_fails_coverage_and_nothing_else() -> None:
    found = checks_of(2.0)
    assert [name for name, check in found.items() if not check.passed] == ["kupiec", "christoffersen"]


def test_red_in_an_earlier_year_is_red() -> None:
    found = checks_of(0.75, clustered=True)["traffic_light"]
    assert not found.passed
    assert found.figures["worst_exceptions"] >= 10


def test_the_shipped_definition_says_what_it_promises() -> None:
    definition = load_definition("index-risk")
    assert definition.gate.backtests == ("kupiec", "christoffersen", "traffic_light", "expected_shortfall")
    assert definition.problem.weights == {"SP500": 0.6, "NASDAQ": 0.4}
    assert problem_of(definition).logarithmic(definition.gate.loss)
