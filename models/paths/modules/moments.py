"""Moments of return paths that a generator is held to: autocorrelations of |r|, leverage, quantiles, deviation, size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LAGS = (1, 2, 5, 10, 20, 40, 60)
LEVERAGE_LAGS = (1, 2, 5, 10, 20)
QUANTILES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)
#: Correlations are small numbers beside quantiles of standardised returns, and count so much more.
CORRELATIONS = 4.0


@dataclass(frozen=True, eq=False)
class _Found:
    clustering: Tensor
    leverage: Tensor
    quantiles: Tensor
    sizes: Tensor


class Moments:
    """The moments of real segments [n, steps], and how far drawn ones are from them.

    All are taken over the pooled segments, around pooled means, so that the length of a segment biases none of them.
    """

    def __init__(self, real: Tensor) -> None:
        with torch.no_grad():
            self.real = _moments(real)

    def distance(self, drawn: Tensor) -> Tensor:
        """The mean absolute difference of each kind of moment, added up: a scalar, 0 where all agree."""
        of_drawn, real = _moments(drawn), self.real
        correlations = (of_drawn.clustering - real.clustering).abs().mean() + (of_drawn.leverage - real.leverage).abs().mean()
        return CORRELATIONS * correlations + (of_drawn.quantiles - real.quantiles).abs().mean() + (of_drawn.sizes - real.sizes).abs().sum()


def _moments(returns: Tensor) -> _Found:
    size = returns.abs()
    centred, sizes = returns - returns.mean(), size - size.mean()
    deviation, spread = centred.square().mean().sqrt(), sizes.square().mean().sqrt()
    steps = returns.shape[1]
    clustering = [(sizes[:, lag:] * sizes[:, :-lag]).mean() / spread.square() for lag in LAGS if lag < steps]
    leverage = [(centred[:, :-lag] * sizes[:, lag:]).mean() / (deviation * spread) for lag in LEVERAGE_LAGS if lag < steps]
    levels = torch.tensor(QUANTILES, dtype=returns.dtype, device=returns.device)
    return _Found(
        torch.stack(clustering), torch.stack(leverage), torch.quantile(returns.flatten(), levels), torch.stack((deviation, size.mean()))
    )
