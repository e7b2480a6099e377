"""Vector autoregression: the increment and other series forecast together, each from the past of all (Sims 1980)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.errors import FitFailure
from finflow.models.forecasts.classical import Classical
from finflow.models.forecasts.volatility_scale import SpreadSettings
from finflow.models.reading import chunks, known_rows, past
from finflow.models.samples import Float64, Samples


class VarSettings(SpreadSettings):
    """Which series beside the increment, and how many lags."""

    series: tuple[str, ...] = Field(
        min_length=1, description="features that are forecast beside the increment; none may be the increment itself"
    )
    lags: int = Field(
        default=4, ge=1, le=50, description="observations that are read back, or the most of them that `criterion` may choose"
    )
    criterion: Literal["aic", "bic", "hqic", "none"] = Field(default="bic", description="what chooses the number of lags; none: `lags`")


class Var(Classical):
    """One VAR for all entities by least squares, equation by equation: what maximum likelihood is for normal errors (Luetkepohl 2005).

    It is the estimator of statsmodels' VAR, which takes one series without a gap only: here the rows of every entity count whose lags are
    there, and none reads across a gap. The increment's forecasts are summed over the horizon; they are linear in the last `lags`
    observations, so they are kept as one weight an observation, series and output.
    """

    Settings: ClassVar[type[ModelSettings]] = VarSettings
    family: ClassVar[str] = "var"
    needs_increment: ClassVar[bool] = True

    def check_task(self) -> None:
        super().check_task()
        settings = cast(VarSettings, self.settings)
        unknown = [name for name in settings.series if name not in self.task.features]
        if unknown or len(set(settings.series)) < len(settings.series):
            what = f"{unknown} are no features" if unknown else "one stands there twice"
            raise FitFailure(f"var.series {list(settings.series)}: {what}; there are {', '.join(self.task.features)}")
        if settings.lags > self.task.length:
            raise FitFailure(f"var.lags {settings.lags} are more than the {self.task.length} observations of a window: raise window.length")

    def fit_location(self, samples: Samples) -> tuple[Float64, dict[str, object]]:
        settings = cast(VarSettings, self.settings)
        rows = self._rows(samples)
        require_independent(rows)
        lags = settings.lags
        if settings.criterion != "none":
            lags = chosen_lags(rows, settings.lags, settings.criterion)
        lagged, now = stacked(rows, lags, lags)
        constant, coefficients, _ = least_squares(lagged, now)
        weights, drift = summed_weights(constant, coefficients, self.task.outputs)
        self.location_state = {"constant": constant, "coefficients": coefficients, "weights": weights, "drift": drift}
        residuals = np.concatenate([part.targets - self.location(part) for part in chunks(samples)])
        return residuals, {"lags": lags, "series": list(settings.series), "observations": len(now)}

    def location(self, samples: Samples) -> Float64:
        weights, drift = self.location_state["weights"], self.location_state["drift"]
        outputs, lags, _ = weights.shape
        answer = np.repeat(drift[None, :], len(samples), axis=0)
        if lags:
            assert self.task.increment is not None
            names = (self.task.increment, *cast(VarSettings, self.settings).series)
            recent = np.stack([past(samples, name, lags) for name in names], axis=2)
            for output in range(outputs):
                # a sum along each row, not a matrix product, whose bits would depend on the number of rows
                answer[:, output] += (recent * weights[output]).reshape(len(samples), -1).sum(axis=1)
        return answer

    def _rows(self, samples: Samples) -> Rows:
        """The series over the rows that these samples may read, entity after entity."""
        assert self.task.increment is not None
        columns = [samples.column(name) for name in (self.task.increment, *cast(VarSettings, self.settings).series)]
        parts = [samples.observations.values[own][:, columns].astype(np.float64) for own in known_rows(samples)]
        ages = np.concatenate([np.arange(len(part)) for part in parts])
        return Rows(np.concatenate(parts), ages)


@dataclass(frozen=True, eq=False)
class Rows:
    """Observations of several series, entity after entity.

    Attributes:
        values: float64, [rows, series].
        age: int64, [rows]; observations of the entity before this one.
    """

    values: Float64
    age: NDArray[np.int64]


def require_independent(rows: Rows) -> None:
    """Raises FitFailure: a series does not vary, or is a combination of the others."""
    complete = rows.values[np.isfinite(rows.values).all(axis=1)]
    spread = complete.std(axis=0) if len(complete) else np.zeros(complete.shape[1])
    if not (spread > 0).all() or np.linalg.matrix_rank(
        (complete - complete.mean(axis=0)) / spread, tol=1e-6 * np.sqrt(len(complete))
    ) < len(spread):
        raise FitFailure(
            "a series of the VAR does not vary over the training part, or is a combination of the others: leave it out of var.series (the "
            "increment of the problem's column is there already)"
        )


def stacked(rows: Rows, lags: int, need: int) -> tuple[Float64, Float64]:
    """The lags [n, lags * series], nearest first, and the values [n, series] of the rows whose last `need` observations are all there."""
    good = np.isfinite(rows.values).all(axis=1)
    run: NDArray[np.int64] = np.cumsum(good) - np.maximum.accumulate(np.where(good, 0, np.cumsum(good)))
    usable = np.flatnonzero((np.minimum(run, rows.age + 1) > need) & good)
    lagged = [rows.values[usable - step] for step in range(1, lags + 1)]
    return np.concatenate([*lagged, np.empty((len(usable), 0))], axis=1), rows.values[usable]


def least_squares(lagged: Float64, now: Float64) -> tuple[Float64, Float64, Float64]:
    """Constant [series], coefficients [lags, series (of the equation), series (of the past)] and residuals [n, series].

    Raises:
        FitFailure: too few rows, or lags that are linear combinations of each other.
    """
    count, series = now.shape
    design = np.concatenate([np.ones((count, 1)), lagged], axis=1)
    if count <= design.shape[1] + series:
        raise FitFailure(f"{count} observations are too few for a VAR of {series} series with {design.shape[1]} coefficients an equation")
    solution, _, rank, _ = np.linalg.lstsq(design, now, rcond=None)
    if rank < design.shape[1]:
        raise FitFailure("the past of the VAR's series is a combination of itself over the training part: fewer lags, or other var.series")
    lags = lagged.shape[1] // series
    coefficients = np.ascontiguousarray(solution[1:].reshape(lags, series, series).transpose(0, 2, 1))
    return solution[0], coefficients, now - design @ solution


def chosen_lags(rows: Rows, most: int, criterion: str) -> int:
    """The number of lags, 0 to `most`, with the least information criterion, all over the same rows (Luetkepohl 2005, 4.3).

    Raises:
        FitFailure: see `least_squares`; or equations without error.
    """
    scores = []
    for lags in range(most + 1):
        lagged, now = stacked(rows, lags, most)
        residuals = least_squares(lagged, now)[2]
        count, series = now.shape
        sign, level = np.linalg.slogdet(residuals.T @ residuals / count)
        if sign <= 0:
            raise FitFailure("a series of the VAR has no error over the training part: leave it out of var.series")
        price = {"aic": 2.0, "bic": np.log(count), "hqic": 2.0 * np.log(np.log(count))}[criterion]
        scores.append(level + price / count * series * (1 + lags * series))
    return int(np.argmin(scores))


def summed_weights(constant: Float64, coefficients: Float64, horizon: int) -> tuple[Float64, Float64]:
    """What the sums of the first series' next 1..horizon values are made of.

    Returns:
        float64, [horizon, lags, series]: weights of the last `lags` observations, oldest first; and [horizon]: what is added to them.
    """
    lags, series, _ = coefficients.shape
    impulses = np.eye(lags * series).reshape(lags * series, lags, series)
    weights = _sums(impulses, np.zeros(series), coefficients, horizon)
    drift = _sums(np.zeros((1, lags, series)), constant, coefficients, horizon)
    return np.ascontiguousarray(weights.T).reshape(horizon, lags, series), drift[0]


def _sums(recent: Float64, constant: Float64, coefficients: Float64, horizon: int) -> Float64:
    """Sums of the first series' forecasts after [n, lags, series], oldest first: float64, [n, horizon]."""
    count, lags, series = recent.shape
    values = np.concatenate([recent, np.zeros((count, horizon, series))], axis=1)
    for step in range(lags, lags + horizon):
        values[:, step] = constant + sum(values[:, step - lag - 1] @ matrix.T for lag, matrix in enumerate(coefficients))
    return np.cumsum(values[:, lags:, 0], axis=1)
