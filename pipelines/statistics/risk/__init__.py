"""Value at risk and expected shortfall of a position or a portfolio, from a probabilistic forecast.

Signs and units, everywhere in this package and in the problem `risk`:

- a loss is positive, a gain negative; a loss of 0.02 is 2 % of the position's value.
- confidence is that of the regulators: value at risk at 0.99 is the loss that one day in a hundred exceeds, the 0.99-quantile of the loss.
- expected shortfall at 0.975 is the mean loss of the worst 2.5 % of outcomes (their quantiles' mean; Acerbi and Tasche 2002).
- an exception is a day whose loss is greater than its value at risk.

    quantiles.risks_of_quantiles(quantiles, levels, confidences)   from quantiles of the loss, by interpolation and a tail that says what it
                                                                   assumes
    paths.risks_of_paths(losses, confidences)                      from sample paths
"""
