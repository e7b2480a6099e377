"""Value at risk and expected shortfall of a position or a portfolio, from any probabilistic forecast.

Signs and units, everywhere in this package and in the problem `risk`:

- a loss is positive, a gain negative; a loss of 0.02 is 2 % of the position's value. `Risks.scaled` turns it into money.
- confidence is that of the regulators: value at risk at 0.99 is the loss that one day in a hundred exceeds, the 0.99-quantile of the loss.
- expected shortfall at 0.975 is the mean loss of the worst 2.5 % of outcomes (their quantiles' mean; Acerbi and Tasche 2002).
- an exception is a day whose loss is greater than its value at risk.

    risks_of_quantiles(quantiles, levels, confidences)     from quantiles of the loss, by interpolation and a tail that says what it assumes
    loss_quantiles(quantiles, levels, ...)                 quantiles of a return, or of its logarithm, as quantiles of a position's loss
    risks_of_paths(losses, confidences)                    from sample paths
    portfolio_losses(returns, weights)                     the losses of a weight vector over simulated joint returns
    risks_of_volatility(volatility, shocks, confidences)   from a volatility forecast, by filtered historical simulation
    risks_of_prediction(prediction, confidences, ...)      from what a model of the zoo answers
"""

from __future__ import annotations

from finflow.pipelines.statistics.risk.measures import CONFIDENCES, Risks
from finflow.pipelines.statistics.risk.paths import portfolio_losses, risks_of_paths
from finflow.pipelines.statistics.risk.prediction import risks_of_prediction
from finflow.pipelines.statistics.risk.quantiles import loss_quantiles, risks_of_quantiles
from finflow.pipelines.statistics.risk.volatility import risks_of_volatility

__all__ = [
    "CONFIDENCES",
    "Risks",
    "loss_quantiles",
    "portfolio_losses",
    "risks_of_paths",
    "risks_of_prediction",
    "risks_of_quantiles",
    "risks_of_volatility",
]
