"""What the evaluation knows of chance: tests of equal accuracy, bootstrap intervals, and corrections for many candidates.

All of them take one loss a date (averaged over entities and seeds first; pooling them makes a 5 % test a 22 % one), lower is better.

    diebold_mariano(loss_a, loss_b, *, horizon, alternative) -> TestResult(statistic, p_value, effect, dates)
        loss_a, loss_b: float64, [dates]. `alternative` is about the mean of loss_a - loss_b: "less" (a is better), "greater",
        "two-sided". effect: relative reduction of the loss by a over b, positive when a is better. What cannot be compared
        (NaN, infinite, zero variance, too few dates) has p_value 1.0 and statistic None: nothing is beaten.
    cosine_terms(dates, horizon) -> int                           degrees of freedom of that test
    default_block(dates, horizon) -> int                          mean length of a bootstrap block
    superior_predictive_ability(benchmark_losses, candidate_losses, *, block, replications, seed) -> float
        p-value of "no candidate is better than the benchmark". benchmark_losses: float64, [dates]; candidate_losses: mapping name -> such.
    model_confidence_set(losses, *, block, replications, seed) -> dict[str, float]
        MCS p-value of each model; those above a level cannot be told from the best at it.

Beside them, in files of their own: `bootstrap.Resampling` (many metrics of the same samples under the same draws, and differences of them),
`delong` (areas under ROC curves and their differences), `repeated_splits` (means over splits whose training parts overlap), `drift` (is a
window unusual) and `stability` (population stability index of whole periods).

The same arguments give the same answer to the bit.
"""

from finflow.pipelines.statistics.bootstrap import default_block
from finflow.pipelines.statistics.diebold_mariano import TestResult, cosine_terms, diebold_mariano
from finflow.pipelines.statistics.multiple import model_confidence_set, superior_predictive_ability

__all__ = [
    "TestResult",
    "cosine_terms",
    "default_block",
    "diebold_mariano",
    "model_confidence_set",
    "superior_predictive_ability",
]
