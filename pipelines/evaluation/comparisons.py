"""Who must beat whom, and with what evidence: comparisons on one loss a date, corrected for the number of challengers.

The claim tested for a challenger is "it beats *every* one of its benchmarks". Its null hypothesis is a union: some benchmark is at
least as good. A union is rejected when each of its members is (the intersection-union test of Berger, 1982), every one at the full
level and without any correction over benchmarks. For let b* be the benchmark with the lowest expected loss: who is no better than some
benchmark is no better than b*. So every false promotion, by whichever challenger, is an error of a test against the one b*, and controlling
those controls all. b* is not known, but it is among those that must be beaten; the tests against the others can only refuse more. So a
challenger's p-value is the largest of its p-values, its statistic the smallest of its statistics, and naming more baselines never makes
a false promotion likelier.

What does need correction is the choice among challengers: the best of many tries looks good by chance. Each challenger stands with the
one difference that its claim hangs on, to its binding benchmark (where its statistic is smallest; b*, when it counts), and the step-down
maximum of Romano and Wolf (2005; adjusted p-values: 2016) runs over challengers: a stationary bootstrap of dates gives the joint
distribution of the differences' means, so that twenty copies of one network count as one try. (Correcting over all pairs would be valid
too, but pays for pairs that no claim hangs on, and so finds less.)

There are two families, each corrected for itself: the candidates, whose error is a model promoted without skill, and the baselines that
challenge the reference, whose error is one classical model in another's place. The level is spent on each: it bounds the chance of the one
error, and of the other, not of either. One family for both would make promoting a network harder the more baselines somebody names,
though they are hurdles already.

Scale. The statistic is Diebold and Mariano's with a variance of equal-weighted cosines, which gives it Student's t with as many degrees of
freedom as there are cosines (`statistics.diebold_mariano`). The bootstrap gives shape and dependence, of the means and of their estimated
errors (`_null_statistics`). An adjusted p-value is never below the plain one. Where no draw reaches a statistic (a p-value below
1 / replications, which a thinly spent level may ask for), Holm's bound takes over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import Float64, SampleIndex
from finflow.pipelines.core.manifests import Comparison, Fold
from finflow.pipelines.statistics import cosine_terms, default_block, diebold_mariano
from finflow.pipelines.statistics.bootstrap import bootstrap_means

Times = NDArray[np.datetime64]

REPLICATIONS = 4_999
#: an effect must hold without so many of its best dates: a few lucky ones are no skill
BEST_DATES = 5
#: cosines from which on a simulated variance is as good as known
MOST_TERMS = 200


def days_of(times: Times) -> Times:
    """datetime64[ns]: the midnight of each time's date."""
    return times.astype("datetime64[D]").astype("datetime64[ns]")


def units_of(index: SampleIndex, folds: Sequence[Fold]) -> NDArray[Any]:
    """What is compared once however many samples it has: each sample's date; of stratified folds, where there are no dates, its entity."""
    return index.entity if any(fold.stratified is not None for fold in folds) else days_of(index.time)


def daily_means(values: Float64, times: NDArray[Any]) -> tuple[NDArray[Any], Float64]:
    """Distinct dates (or other units) in order, and the mean of `values`, [n], on each: one loss a date."""
    dates, code = np.unique(times, return_inverse=True)
    return dates, np.bincount(code, weights=values) / np.bincount(code)


def overlap(index: SampleIndex) -> int:
    """Dates that a label spans, at most: the horizon that the tests must allow for (at least 1)."""
    dates = np.unique(days_of(index.time))
    span = np.searchsorted(dates, index.label_end, side="right") - np.searchsorted(dates, index.time, side="right")
    return max(1, int(span.max(initial=1)))


def family(baselines: Mapping[str, bool], champion: str | None, reference: str) -> dict[str, tuple[str, ...]]:
    """Every challenger and the benchmarks it must beat.

    A candidate must beat every baseline, and the champion's recipe; a baseline the reference and the champion's recipe. The reference needs
    no challenge against a champion that is no baseline: it stands where that one goes (`finflow.pipelines.training.challengers.demotion`).

    Args:
        baselines: by name of entry, whether it is a baseline.
        champion: the entry that is the champion's recipe, or None.
    """
    incumbent = champion or reference
    challengers: dict[str, tuple[str, ...]] = {}
    for name, is_baseline in baselines.items():
        if name == incumbent or (name == reference and not baselines.get(incumbent, False)):
            continue
        must = [reference] if is_baseline else [other for other, kind in baselines.items() if kind]
        challengers[name] = tuple(dict.fromkeys(other for other in (*must, incumbent) if other != name))
    return challengers


def compare(losses: Mapping[str, Float64], name: str, against: str, horizon: int, *, logarithmic: bool = False) -> Comparison:
    """One entry against another: Diebold-Mariano, one-sided ("`name` has the lower loss"), and what is left without the best dates.

    Args:
        losses: by entry, float64, [dates].
        horizon: dates that a label spans.
        logarithmic: the effect is the difference of the mean losses, not a part of the other's.
    """
    own, other = losses[name], losses[against]
    found = diebold_mariano(own, other, horizon=horizon, alternative="less")
    effect, share, rest = found.effect, None, None
    if effect is not None:
        advantage = other - own
        by_advantage = np.argsort(-advantage, kind="stable")
        best, others = by_advantage[:BEST_DATES], by_advantage[BEST_DATES:]
        effect = _effect(own, other, logarithmic)
        rest = _effect(own[others], other[others], logarithmic)
        total = float(advantage.sum())
        share = float(advantage[best].sum()) / total if total > 0 else None
    return Comparison(
        against=against,
        effect=effect,
        statistic=found.statistic,
        p_value=found.p_value,
        dates=found.dates,
        best_dates_share=share,
        effect_without_best=rest,
    )


def _effect(own: Float64, other: Float64, logarithmic: bool) -> float | None:
    """The relative reduction of the mean loss, or of a logarithmic one the reduction; None where it has no meaning."""
    if not len(own) or (other.mean() == 0 and not logarithmic):
        return None
    reduction = float(other.mean() - own.mean())
    return reduction if logarithmic else reduction / abs(float(other.mean()))


@dataclass(frozen=True)
class Compared:
    """One entry among the others: against each baseline and the champion; and as a challenger, if it is one."""

    comparisons: tuple[Comparison, ...]
    must_beat: tuple[str, ...]
    adjusted_p: float | None


def compare_all(
    losses: Mapping[str, Float64],
    baselines: Mapping[str, bool],
    champion: str | None,
    reference: str,
    *,
    horizon: int,
    seed: int,
    replications: int = REPLICATIONS,
    logarithmic: bool = False,
) -> dict[str, Compared]:
    """Every comparison of an evaluation.

    Args:
        losses: by entry, float64, [dates], in time order; NaN where invalid.
        baselines: by entry, whether it is a baseline.
        champion: the entry that is the champion's recipe, or None.
        logarithmic: see `compare`.
    """
    challengers = family(baselines, champion, reference)
    adjusted: dict[str, float] = {}
    for kind in (False, True):
        part = {name: benchmarks for name, benchmarks in challengers.items() if baselines[name] is kind}
        adjusted |= adjusted_p_values(losses, part, horizon=horizon, seed=seed, replications=replications)
    found = {}
    for name in baselines:
        against = [other for other, is_baseline in baselines.items() if other != name and (is_baseline or other == champion)]
        comparisons = tuple(compare(losses, name, other, horizon, logarithmic=logarithmic) for other in against)
        found[name] = Compared(comparisons, challengers.get(name, ()), adjusted.get(name))
    return found


def superior(compared: Mapping[str, Compared], baselines: Mapping[str, bool], level: float) -> tuple[str, ...]:
    """Candidates (no baselines) that beat all they must, at the level."""
    return tuple(name for name, one in compared.items() if not baselines[name] and one.adjusted_p is not None and one.adjusted_p <= level)


def adjusted_p_values(
    losses: Mapping[str, Float64], challengers: Mapping[str, tuple[str, ...]], *, horizon: int, seed: int, replications: int = REPLICATIONS
) -> dict[str, float]:
    """By challenger, the p-value of "some benchmark is at least as good", corrected over these challengers (see above).

    Rejecting where it is at most a level keeps the chance of any false rejection at that level. What cannot be compared has 1.0, and does
    not weigh on the others.

    Args:
        losses: by entry, float64, [dates], in time order.
        horizon: dates that a label spans.
    """
    adjusted = dict.fromkeys(challengers, 1.0)
    statistic: dict[str, float] = {}
    plain: dict[str, float] = {}
    binding: dict[str, str] = {}
    for name, benchmarks in challengers.items():
        found = [compare(losses, name, other, horizon) for other in benchmarks]
        if not found or any(one.statistic is None or one.p_value is None for one in found):
            continue
        worst = max(found, key=lambda one: one.statistic or 0.0)
        statistic[name], plain[name], binding[name] = -(worst.statistic or 0.0), worst.p_value or 0.0, worst.against
    # equal statistics (two copies) keep the order of their names, so that the answer does not hang on a dictionary's
    order = sorted(statistic, key=lambda name: (-statistic[name], name))
    if not order:
        return adjusted
    differences = np.column_stack([losses[binding[name]] - losses[name] for name in order])
    draws = _null_statistics(differences, horizon, seed, replications)
    # the maximum over a challenger and all that stand below it
    highest = np.maximum.accumulate(draws[:, ::-1], axis=1)[:, ::-1]
    before = 0.0
    for place, name in enumerate(order):
        beyond = int((highest[:, place] >= statistic[name]).sum())
        value = (1 + beyond) / (replications + 1)
        if beyond == 0:
            value = min(value, (len(order) - place) * plain[name])
        before = adjusted[name] = min(1.0, max(value, plain[name], before))
    return adjusted


def _null_statistics(differences: Float64, horizon: int, seed: int, replications: int) -> Float64:
    """What the statistics of [dates, k] would be if no column had a mean: float64, [replications, k].

    The mean and each cosine transform in the variance are sums with the same covariances, and independent of each other: so a draw is one
    bootstrap mean over the root of the mean square of as many others as there are cosines, the same ones in all columns. So copies share
    their variance and independent columns have one each; with one that is common to all, the largest of many would look like skill.
    """
    dates = len(differences)
    # brought to size one first: squares of small losses would vanish
    centred = differences - differences.mean(axis=0)
    centred /= np.abs(centred).max(axis=0)
    means = bootstrap_means(centred, default_block(dates, horizon), replications, seed)
    means = (means - means.mean(axis=0)) / means.std(axis=0)
    squares, total = means**2, np.zeros_like(means)
    terms = min(cosine_terms(dates, horizon), MOST_TERMS)
    generator = np.random.default_rng([seed, 1])
    for _ in range(terms):
        total += squares[generator.integers(replications, size=replications)]
    return np.asarray(means / np.sqrt(total / terms))
