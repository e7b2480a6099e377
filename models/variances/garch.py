"""GARCH(1,1) and GJR-GARCH with t errors by `arch`, brought to the level of the target."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.errors import FitFailure
from finflow.models.reading import chunks, known_rows
from finflow.models.samples import Float64, Samples
from finflow.models.variances.variance import VarianceModel, past_log_variance, past_moves

_FEWEST = 100
#: days of the training part's level that the window's own level is mixed with
_PRIOR_DAYS = 20
#: mean, omega, alpha, gamma, beta and degrees of freedom that daily returns of unit variance have, roughly
COMMON = np.array([0.0, 0.02, 0.05, 0.0, 0.93, 6.0])
#: where entities are calm and wild: hardly any constant, and heavy tails
UNLIKE = np.array([0.0, 1e-6, 0.10, 0.0, 0.88, 4.0])
#: of the log-likelihood: less is the rounding of two searches that end at one place
MATERIAL = 1.0


class GarchSettings(ModelSettings):
    """Which recursion, and how much of the past it is fitted on and reads."""

    asymmetric: bool = Field(default=True, description="GJR: a fall raises the variance by more than a rise; false: plain GARCH")
    context: int = Field(default=500, ge=50, le=5000, description="past returns that the filter runs over, from the training variance on")
    level: Literal["window", "training"] = Field(
        default="window",
        description="what brings returns' variances to the target's level: the past that is read, or the training part alone",
    )
    observations: int = Field(default=20_000, ge=200, description="the likelihood takes at most so many returns, the newest of each entity")


class Garch(VarianceModel):
    """GARCH (Bollerslev, 1986) or GJR-GARCH (Glosten, Jagannathan and Runkle, 1993), a constant mean, Student's t errors.

    One set of parameters for all entities, fitted to their returns one after the other, on the training part; the filter runs forward over
    later returns without a refit. The recursion speaks of squared returns from close to close; the target is a range estimate, or
    the user's own measure. So each output is multiplied by the training mean of target over forecast, the factor that minimises QLIKE; and,
    since entities differ in that level, by how the days' own variances lay to the recursion's over the past that is read, against training.
    """

    Settings: ClassVar[type[ModelSettings]] = GarchSettings
    family: ClassVar[str] = "garch"

    @property
    def context(self) -> int:
        return max(self.task.length, cast(GarchSettings, self.settings).context)

    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        settings = cast(GarchSettings, self.settings)
        returns = self._pooled(samples, settings.observations)
        parameters, (freedom,), converged = fit_garch(returns, settings.asymmetric)
        state = {"parameters": parameters, "start": np.array([returns.var()])}
        ratio = np.zeros(self.task.outputs)
        for part in chunks(samples):
            ratio += (part.targets.astype(np.float64) / self._ahead(self._filter(part, state)[0], state)).sum(axis=0)
        state["ratio"] = ratio / len(samples)
        names = ("mean", "omega", "alpha", "gamma", "beta")
        notes = {**dict(zip(names, parameters.tolist(), strict=True)), "degrees_of_freedom": freedom, "converged": converged}
        return state, {**notes, "ratio": state["ratio"].tolist(), "observations": len(returns)}

    def variances(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        variance, path = self._filter(samples, state)
        forecast = self._ahead(variance, state) * state["ratio"]
        settings = cast(GarchSettings, self.settings)
        if settings.level == "training":
            return forecast
        ratio = np.exp(past_log_variance(samples, self.task, settings.context)) / path
        finite = np.isfinite(ratio)
        days = np.where(finite, ratio, 0.0).sum(axis=1) / state["ratio"][0]  # each 1 on average where the level is that of training
        return forecast * ((days + _PRIOR_DAYS) / (finite.sum(axis=1) + _PRIOR_DAYS))[:, None]

    def _pooled(self, samples: Samples, observations: int) -> Float64:
        """Known returns, entity after entity."""
        assert self.task.move is not None
        column = samples.column(self.task.move)
        rows = known_rows(samples)
        share = max(_FEWEST, observations // len(rows))
        parts = [samples.observations.values[own, column].astype(np.float64) for own in rows]
        returns = np.concatenate([part[np.isfinite(part)][-share:] for part in parts])
        if len(returns) < _FEWEST or not returns.std() > 0:
            raise FitFailure(f"{len(returns)} returns that vary too little or are too few (below {_FEWEST}): a GARCH cannot be fitted")
        return returns

    def _filter(self, samples: Samples, state: dict[str, Float64]) -> tuple[Float64, Float64]:
        moves = past_moves(samples, self.task, cast(GarchSettings, self.settings).context)
        return filtered(moves, state["parameters"], float(state["start"][0]))

    def _ahead(self, variance: Float64, state: dict[str, Float64]) -> Float64:
        """float64, [n, outputs]: the mean of the recursion's expected variances over each output's steps, from the first step's, [n]."""
        _, omega, alpha, gamma, beta = state["parameters"]
        answer = np.empty((len(variance), self.task.outputs))
        total = np.zeros(len(variance))
        for step in range(1, max(self.task.steps) + 1):
            total += variance
            variance = omega + (alpha + gamma / 2 + beta) * variance
            for output in (place for place, wanted in enumerate(self.task.steps) if wanted == step):
                answer[:, output] = total / step
        return answer


def filtered(returns: Float64, parameters: Float64, start: float) -> tuple[Float64, Float64]:
    """float64, [n]: the variance expected one step after the last of `returns`, [n, length], oldest first; NaN leaves it as it was. And
    float64, [n, length]: the variance that was expected of each of them.

    Args:
        parameters: mean, omega, alpha, gamma, beta.
        start: the variance before the first return.
    """
    mean, omega, alpha, gamma, beta = parameters
    variance = np.full(len(returns), start)
    path = np.empty(returns.shape)
    for step in range(returns.shape[1]):
        path[:, step] = variance
        shock = returns[:, step] - mean
        following = omega + (alpha + gamma * (shock < 0)) * shock**2 + beta * variance
        variance = np.where(np.isfinite(shock), following, variance)
    return variance, path


def fit_garch(returns: Float64, asymmetric: bool, *, skewed: bool = False) -> tuple[Float64, tuple[float, ...], bool]:
    """Maximum likelihood by `arch`, with Student's t errors, or Hansen's (1994) skewed ones.

    Over entities of unlike volatility the likelihood has ridges and cliffs: a search can end far from its top and call itself converged. So
    there is a second one, from common values or (GJR) from the symmetric optimum, a third where these two end apart, and the highest end
    counts.

    Returns:
        float64, [5]: mean, omega, alpha, gamma (0 if symmetric), beta, of plain returns; degrees of freedom (and the skew); whether the
        search converged.

    Raises:
        FitFailure: it ended in parameters that are not finite.
    """
    scale = float(returns.std())
    optimum = _search(returns / scale, asymmetric, skewed)
    units = np.array([scale, scale**2, 1.0, 1.0, 1.0])  # the mean is a return, omega a variance
    parameters = optimum.parameters[:5] * units
    if not np.isfinite(parameters).all():
        raise FitFailure(f"the likelihood of GARCH over {len(returns)} returns ended in parameters that are not finite")
    return parameters, tuple(optimum.parameters[5:].tolist()), optimum.converged


@dataclass(frozen=True, eq=False)
class _Optimum:
    """Where a search ended: mean, omega, alpha, gamma, beta, degrees of freedom (and skew), its log-likelihood, whether it converged."""

    parameters: Float64
    likelihood: float
    converged: bool


def _search(returns: Float64, asymmetric: bool, skewed: bool) -> _Optimum:
    """The highest of the searches over returns of unit variance and, for GJR, of the symmetric optimum, which is one of its points."""
    from arch import arch_model

    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=int(asymmetric), q=1, dist="skewt" if skewed else "t", rescale=False)
    common, unlike = (np.append(start, 0.0) if skewed else start for start in (COMMON, UNLIKE))
    places = np.arange(len(common)) if asymmetric else np.delete(np.arange(len(common)), 3)  # no gamma

    def search(start: Float64 | None) -> _Optimum:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the search ended with is checked and reported instead
            result = model.fit(disp="off", show_warning=False, options={"maxiter": 500}, starting_values=start)
        parameters = np.zeros(len(common))
        parameters[places] = result.params.to_numpy()
        return _Optimum(parameters, float(result.loglikelihood), result.convergence_flag == 0)

    nested = _search(returns, False, skewed) if asymmetric else None
    usual = search(None)  # from arch's own start: it stands unless another is materially higher
    optima = [usual, search(common[places] if nested is None else nested.parameters), *([] if nested is None else [nested])]
    if not abs(optima[1].likelihood - usual.likelihood) < MATERIAL:
        optima.append(search(unlike[places]))
    best = max(optima, key=lambda one: one.likelihood if np.isfinite(one.likelihood) else -np.inf)
    return usual if usual.likelihood >= best.likelihood - MATERIAL else best
