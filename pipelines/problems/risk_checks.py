"""Backtests as checks of the gate: passed or failed, with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Prediction
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.core.manifests import Check
from finflow.pipelines.statistics.risk.measures import Float64, Risks
from finflow.pipelines.statistics.risk.quantiles import tail_quantiles
from finflow.pipelines.statistics.risk_backtests import (
    christoffersen,
    christoffersen_independence,
    expected_shortfall,
    kupiec,
    traffic_light,
    worst_light,
)
from finflow.pipelines.statistics.risk_backtests.shortfall import TailForecasts

if TYPE_CHECKING:
    from finflow.pipelines.settings.parts import Gate
    from finflow.pipelines.statistics.risk_backtests import BacktestResult

BACKTESTS = ("kupiec", "christoffersen_independence", "christoffersen", "expected_shortfall", "traffic_light")
#: confidence of each: value at risk is tested where the Basel Committee does, expected shortfall where it sets capital (2019)
CONFIDENCE = {"expected_shortfall": 0.975}
VALUE_AT_RISK = 0.99
_TITLES = {
    "kupiec": "Kupiec's test of coverage",
    "christoffersen_independence": "Christoffersen's test of independence",
    "christoffersen": "Christoffersen's test of conditional coverage",
    "expected_shortfall": "Acerbi and Szekely's test of expected shortfall (Z2)",
}


@dataclass(frozen=True, eq=False)
class _Tail:
    """What an entity lost on its test dates, in order, and what was forecast: float64, [n] each.

    Attributes:
        at_risk, shortfall: the forecast value at risk and expected shortfall at `confidence`.
        quantiles: float64, [n, levels], of the losses.
        shape: of the tail beyond the outermost level.
    """

    losses: Float64
    at_risk: Float64
    shortfall: Float64
    confidence: float
    quantiles: Float64
    levels: tuple[float, ...]
    shape: float

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Days of a loss beyond the value at risk."""
        return self.losses > self.at_risk


def backtest(name: str, prediction: Prediction, index: SampleIndex, risks: Risks, shape: float, gate: Gate, seed: int) -> Check:
    """One backtest over all test dates, each entity by itself.

    A test fails where its p-value's bound is at most `gate.backtest_level`, shared over entities (Bonferroni): with the bound, no model
    fails by the toss of a coin. The traffic light fails in the red zone, and it is the worst 250 days in a row that count, not Basel's
    last 250: whoever was in the red in any year of the test would have lost the desk its model. Over five years a right model meets that
    with a chance of 0.6 % (simulated).

    Raises:
        DefinitionError: the confidence it needs is not among the definition's.
    """
    confidence = CONFIDENCE.get(name, VALUE_AT_RISK)
    if confidence not in risks.confidences:
        raise DefinitionError(f"gate.backtests: {name} needs confidence {confidence:g} among problem.confidences.")
    codes = np.unique(index.entity)
    checks = []
    for code in codes:
        mine = np.flatnonzero(index.entity == code)
        mine = mine[np.argsort(index.time[mine], kind="stable")]
        tail = _tail(prediction, index, risks, mine, confidence, shape)
        if name == "traffic_light":
            checks.append(_light(tail.hits, index.time[mine], confidence))
        else:
            checks.append(_test(name, tail, gate.backtest_level / len(codes), seed))
    return max(checks, key=lambda check: (not check.passed, check.severity))


def _tail(prediction: Prediction, index: SampleIndex, risks: Risks, mine: NDArray[np.int64], confidence: float, shape: float) -> _Tail:
    at_risk, shortfall = (values[mine] for values in risks.at(confidence))
    quantiles = prediction.values[mine, 0, :].astype(np.float64)
    return _Tail(index.target[mine, 0].astype(np.float64), at_risk, shortfall, confidence, quantiles, prediction.levels, shape)


def _light(hits: np.ndarray, time: np.ndarray, confidence: float) -> Check:
    probability = round(1.0 - confidence, 9)
    worst, last = worst_light(hits, probability), traffic_light(hits, probability)
    end = np.datetime_as_string(time[worst.last], unit="D")
    words = (
        f"{worst.zone} zone of the traffic light: {worst.exceptions} exceptions of the {100 * confidence:g} % value at risk in the worst "
        f"{worst.days} days in a row (to {end}), {last.exceptions} in the last {last.days} ({last.zone})"
    )
    figures = {"worst_exceptions": float(worst.exceptions), "last_exceptions": float(last.exceptions), "days": float(worst.days)}
    return Check("traffic_light", worst.zone != "red", words, figures, severity=worst.cumulative)


def _test(name: str, tail: _Tail, level: float, seed: int) -> Check:
    confidence, result = tail.confidence, _result(name, tail, seed)
    if result is None:
        words = f"{_TITLES[name]}: an expected shortfall is not above 0, and cannot be tested"
        return Check(name, False, words, {}, severity=1.0)
    expected = result.days * (1.0 - confidence)
    limit = "none" if result.asymptotic_p is None else f"{result.asymptotic_p:.3f}"
    words = (
        f"{_TITLES[name]}: {result.exceptions} exceptions at {100 * confidence:g} % in {result.days} days (expected {expected:.1f}), "
        f"statistic {result.statistic:.2f}, Monte Carlo p {result.monte_carlo_p:.4f} (at most {result.bound_p:.4f}), asymptotic p {limit}"
    )
    figures = {"statistic": result.statistic, "exceptions": float(result.exceptions), "p": result.monte_carlo_p, "p_bound": result.bound_p}
    if result.asymptotic_p is not None:
        figures["p_asymptotic"] = result.asymptotic_p
    return Check(name, result.bound_p > level, words, figures, severity=1.0 - result.bound_p)


def _result(name: str, tail: _Tail, seed: int) -> BacktestResult | None:
    """None where an expected shortfall is not above 0."""
    probability = round(1.0 - tail.confidence, 9)
    if name == "kupiec":
        return kupiec(tail.hits, probability, seed=seed)
    if name == "christoffersen":
        return christoffersen(tail.hits, probability, seed=seed)
    if name == "christoffersen_independence":
        return christoffersen_independence(tail.hits, seed=seed)
    if not (tail.shortfall > 0).all():
        return None
    forecasts = TailForecasts(
        tail.at_risk,
        tail.shortfall,
        probability,
        lambda day, level: tail_quantiles(tail.quantiles, tail.levels, day, level, shape=tail.shape),
    )
    return expected_shortfall(tail.losses, forecasts, seed=seed)
