"""ARMA on the increments (so ARIMA(p, 1, q) on the level), by statsmodels; forecasts cumulate over the horizon."""

from __future__ import annotations

import warnings
from typing import ClassVar, cast

import numpy as np
from pydantic import Field, field_validator

from finflow.models.base import ModelSettings
from finflow.models.errors import FitFailure
from finflow.models.forecasts.classical import Classical
from finflow.models.forecasts.volatility_scale import SpreadSettings
from finflow.models.reading import chunks, known_rows, past
from finflow.models.samples import Float64, Samples

#: missing observations between two entities in the pooled likelihood: the filter forgets one before it meets the next
FORGET = 100


class ArimaSettings(SpreadSettings):
    """Order of the model, and how much of the past it is fitted on."""

    order: tuple[int, int, int] = Field(default=(1, 0, 1), description="p, d, q of the increments; d is 0, they are differences already")
    observations: int = Field(default=20_000, ge=100, description="the likelihood takes at most so many rows, the newest of each entity")

    @field_validator("order")
    @classmethod
    def _order(cls, order: tuple[int, int, int]) -> tuple[int, int, int]:
        p, d, q = order
        if d != 0:
            raise ValueError(f"order {list(order)}: d must be 0, because increments are differences already; write [{p}, 0, {q}]")
        if min(p, q) < 0 or max(p, q) > 20 or p + q == 0:
            raise ValueError(f"order {list(order)}: p and q must be 0 to 20 and not both 0 (that is historical_mean)")
        return order


class Arima(Classical):
    """One ARMA(p, q) for all entities, each centred and scaled by its own training moments.

    The likelihood is exact (Kalman filter, statsmodels); a served model sees a window alone, so it forecasts by the conditional
    recursion from `context` observations with zeros before them (Box and Jenkins 1970). That recursion is linear in the past, so it is
    kept as one weight an observation and output.
    """

    Settings: ClassVar[type[ModelSettings]] = ArimaSettings
    family: ClassVar[str] = "arima"
    needs_increment: ClassVar[bool] = True

    def fit_location(self, samples: Samples) -> tuple[Float64, dict[str, object]]:
        settings = cast(ArimaSettings, self.settings)
        p, _, q = settings.order
        series, mean = self._pooled(samples)
        ar, ma, converged = _fit_arma(series, p, q)
        length = self.context
        weights = cumulated_forecast(np.eye(length), ar, ma, self.task.outputs).T
        self.location_state = {"ar": ar, "ma": ma, "mean": np.array([mean]), "weights": np.ascontiguousarray(weights)}
        residuals = np.concatenate([part.targets - self.location(part) for part in chunks(samples)])
        notes = {"order": list(settings.order), "ar": ar.tolist(), "ma": ma.tolist(), "converged": converged, "observations": len(series)}
        return residuals, notes

    def _pooled(self, samples: Samples) -> tuple[Float64, float]:
        """Entities one after the other, standardised, FORGET missing values between them; and the mean increment over all."""
        assert self.task.increment is not None
        column = samples.column(self.task.increment)
        rows = known_rows(samples)
        share = max(2, cast(ArimaSettings, self.settings).observations // len(rows))
        pieces: list[Float64] = []
        total, count = 0.0, 0
        for own in rows:
            values = samples.observations.values[own, column].astype(np.float64)
            known = values[np.isfinite(values)]
            if len(known) < 2 or known.std() <= 0:
                continue
            total, count = total + float(known.sum()), count + len(known)
            pieces += [np.full(FORGET, np.nan), ((values - known.mean()) / known.std())[-share:]]
        if not pieces:
            raise FitFailure(f"column {self.task.increment!r} does not vary over the training samples: there is nothing to forecast")
        return np.concatenate(pieces[1:]), total / count

    def location(self, samples: Samples) -> Float64:
        assert self.task.increment is not None
        mean, weights = float(self.location_state["mean"][0]), self.location_state["weights"]
        deviations = past(samples, self.task.increment, weights.shape[1]) - mean
        deviations[~np.isfinite(deviations)] = 0.0
        answer = np.empty((len(samples), self.task.outputs))
        for output in range(self.task.outputs):
            answer[:, output] = (deviations * weights[output]).sum(axis=1) + (output + 1) * mean
        return answer


def cumulated_forecast(increments: Float64, ar: Float64, ma: Float64, horizon: int) -> Float64:
    """Sums of the next 1..horizon values of zero-mean ARMA series: float64, [n, horizon], from increments [n, length], oldest first.

    Values and shocks before the first are taken as zero (conditional recursion).
    """
    count, length = increments.shape
    values = np.concatenate([np.zeros((count, len(ar))), increments, np.zeros((count, horizon))], axis=1)
    shocks = np.zeros((count, len(ma) + length + horizon))
    for step in range(length + horizon):
        now, shock = step + len(ar), step + len(ma)
        expected = values[:, now - len(ar) : now][:, ::-1] @ ar + shocks[:, shock - len(ma) : shock][:, ::-1] @ ma
        if step < length:
            shocks[:, shock] = values[:, now] - expected
        else:
            values[:, now] = expected
    return np.cumsum(values[:, len(ar) + length :], axis=1)


def _fit_arma(series: Float64, p: int, q: int) -> tuple[Float64, Float64, bool]:
    """Maximum likelihood with stationarity and invertibility enforced: AR and MA coefficients, and whether the search converged."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    with warnings.catch_warnings():
        # statsmodels warns of poor starting values and of slow convergence; what it ended with is checked and reported instead
        warnings.simplefilter("ignore")
        try:
            result = SARIMAX(series, order=(p, 0, q), trend="n").fit(disp=0, maxiter=200, cov_type="none")
        except (np.linalg.LinAlgError, ValueError) as error:
            raise FitFailure(f"the likelihood of ARMA({p}, {q}) cannot be maximised over {len(series)} observations: {error}") from error
    parameters = np.asarray(result.params, dtype=np.float64)
    if not np.isfinite(parameters).all():
        raise FitFailure(f"the likelihood of ARMA({p}, {q}) over {len(series)} observations ended in parameters that are not finite")
    return parameters[:p], parameters[p : p + q], bool(result.mle_retvals["converged"])
