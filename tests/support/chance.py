"""What chance does to decisions: candidates are series of losses a date, whose truth is known, and go through the gate itself.

Nothing is fitted. `Life` keeps what was looked at of one set of data, as the rule of looks has it: the first challenge has all test dates,
a later one those alone that nobody had looked at, once there are enough; in between, trainings see seen dates alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.signal import lfilter
from scipy.stats import binomtest
from scipy.stats import t as student

from finflow.models.samples import Float64
from finflow.pipelines.core.manifests import Decision
from finflow.pipelines.evaluation.comparisons import compare
from finflow.pipelines.settings.parts import Gate
from finflow.pipelines.training.gate import ChampionState, History, Refresh, decide
from tests.support.pipelines.evaluation_support import evaluation_of

REFERENCE = "random-walk"
AS_OF = "2015-01-01T00:00:00+00:00"
#: columns of noise that somebody tries
COLUMNS = 100


@dataclass
class Life:
    """One set of data, and what was looked at of it.

    Attributes:
        gate: as it is declared at first. The minimum effect is nothing by default: what is even then passes as often as it can.
        looked: test dates that were looked at; challenges: decided so far; level: the lowest ever declared.
        replications, seed: of the bootstrap; few draws make a decision a little too cautious.
    """

    gate: Gate = field(default_factory=lambda: Gate(loss="mae", minimum_effect=0.0))
    looked: int = 0
    challenges: int = 0
    level: float = 0.5
    replications: int = 249
    seed: int = 1

    def train(self, losses: Mapping[str, Float64], *, level: float | None = None) -> Decision:
        """Decide on losses of all test dates so far, the reference's among them; the champion is the reference.

        Args:
            level: that the definition declares now, where it is another.
        """
        dates = len(losses[REFERENCE])
        declared = self.gate.level if level is None else level
        self.level = min(self.level, declared)
        unseen = {name: values[self.looked :] for name, values in losses.items()}
        new = dates - self.looked
        opens = not self.challenges or new >= self.gate.new_dates
        evaluation = (
            evaluation_of(unseen, champion=REFERENCE, compare=opens, replications=self.replications, seed=self.seed) if new else None
        )
        if evaluation is None:
            evaluation = evaluation_of(losses, champion=REFERENCE, compare=False)
        history = History(challenges=self.challenges, new_dates=new)
        gate = self.gate.model_copy(update={"level": self.level})
        state = ChampionState(REFERENCE, 1, AS_OF, REFERENCE)
        decision = decide(replace(evaluation, dates=dates), gate, state, history)
        if decision.challenge:
            self.looked, self.challenges = dates, decision.challenge
        return decision


@dataclass(frozen=True)
class Share:
    """How many of so many tries, with the 95 % interval of the share (Wilson 1927)."""

    hits: int
    tries: int

    @property
    def value(self) -> float:
        return self.hits / self.tries

    @property
    def interval(self) -> tuple[float, float]:
        found = binomtest(self.hits, self.tries).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    def figures(self, name: str) -> dict[str, float | int]:
        """As a benchmark records it."""
        low, high = self.interval
        return {name: self.value, "low": low, "high": high, "tries": self.tries}


def noise(generator: np.random.Generator, dates: int, columns: int = COLUMNS) -> tuple[Float64, Float64]:
    """The reference's losses, [dates], and those of as many columns, [columns, dates]: exactly as good in the mean."""
    base = np.abs(generator.standard_t(5, size=dates)) + 1.0
    return base, base + 0.3 * generator.standard_normal((columns, dates))


def signal(generator: np.random.Generator, dates: int, r_squared: float) -> dict[str, Float64]:
    """Squared errors of the reference, and of a candidate that knows all there is to know: `r_squared` of the variance."""
    known = math.sqrt(r_squared) * generator.standard_normal(dates)
    rest = math.sqrt(1.0 - r_squared) * generator.standard_normal(dates)
    return {REFERENCE: (known + rest) ** 2, "dense": rest**2}


def promoted(decision: Decision) -> bool:
    return decision.verdict == "promoted"


def combined_after_single_looks(seed: int, dates: int = 310, new: int = 60) -> tuple[bool, bool, bool]:
    """A hundred columns are looked at one by one, then the five best are combined: at once, and after new dates.

    Returns:
        Whether the first look, the combination on dates all seen, and that after new dates are promoted.
    """
    base, columns = noise(np.random.default_rng(seed), dates)
    life, first = Life(seed=seed), dates - new
    single = [promoted(life.train({REFERENCE: base[:first], "dense": columns[0, :first]}))]
    # nothing is decided on seen dates, whatever column it is: the first few stand for all
    single += [promoted(life.train({REFERENCE: base[:first], "dense": one[:first]})) for one in columns[1:4]]
    best = np.argsort(columns[:, :first].mean(axis=1))[:5]
    together = columns[best].mean(axis=0)
    at_once = promoted(life.train({REFERENCE: base[:first], "dense": together[:first]}))
    later = promoted(life.train({REFERENCE: base, "dense": together}))
    return any(single), at_once, later


def best_after_new_dates(seed: int, *, names: int = 1, levels: tuple[float | None, ...] = (None, None), first: int = 250) -> list[bool]:
    """A column is challenged at first, and after each 60 new dates the best of a hundred, chosen by the dates seen.

    Args:
        names: of the definitions that try, one after the other, each with its next best: the data are the same, and so is their life.
        levels: that each challenge declares.

    Returns:
        By challenge, whether it promoted.
    """
    base, columns = noise(np.random.default_rng(seed), first + 60 * (len(levels) - 1))
    life, found = Life(seed=seed), []
    for number, level in enumerate(levels):
        dates = first + 60 * number
        order = np.argsort(columns[:, : life.looked].mean(axis=1)) if life.looked else np.arange(len(columns))
        tried = [{REFERENCE: base[:dates], "dense": columns[best, :dates]} for best in order[:names]]
        decided = [promoted(life.train(losses, level=level)) for losses in tried]
        found.append(any(decided))
    return found


def all_at_once(seed: int, dates: int = 250) -> bool:
    """All hundred columns in the first challenge: whether any is promoted."""
    base, columns = noise(np.random.default_rng(seed), dates)
    return promoted(
        Life(replications=499, seed=seed).train({REFERENCE: base, **{f"column {number}": one for number, one in enumerate(columns)}})
    )


def closed_gate(seed: int, rounds: int = 8) -> bool:
    """A training a week, each with the best of a hundred columns by the dates seen so far, over as many openings: whether one promoted."""
    first = 250
    base, columns = noise(np.random.default_rng(seed), first + 60 * rounds)
    life, any_promoted = Life(seed=seed), False
    for dates in range(first, first + 60 * rounds, 5):
        opens = not life.challenges or dates - life.looked >= life.gate.new_dates
        if not opens and (dates - life.looked) % 30:
            continue  # a closed gate needs no more than two weeks of twelve to show that it is
        best = int(np.argmin(columns[:, : life.looked].mean(axis=1))) if life.looked else 0
        any_promoted |= promoted(life.train({REFERENCE: base[:dates], "dense": columns[best, :dates]}))
    return any_promoted


def refreshes(seed: int, *, first_too: bool, steps: int = 20, worse: float = 0.02) -> tuple[bool, float]:
    """A refresh every 20 dates, each with a loss higher by so much than the version before it.

    Args:
        first_too: compared with the first version, too.

    Returns:
        Whether the first one is accepted, and how much worse the last version is than the first.
    """
    generator = np.random.default_rng(seed)
    base = np.abs(generator.standard_normal(20 * steps)) + 1.0

    def version(quality: float) -> Float64:
        return base * (1.0 + quality) + 0.15 * generator.standard_normal(len(base))

    def against(refitted: Float64, frozen: Float64, since: int, until: int, number: int | None = None) -> Refresh:
        return Refresh(until - since, 1.0 - float(refitted[since:until].mean() / frozen[since:until].mean()), number)

    first = frozen = version(0.0)
    evaluation = evaluation_of({REFERENCE: base}, champion=REFERENCE, compare=False)
    made, quality, accepted = 0, 0.0, []
    for date in range(20, len(base) + 1, 20):
        refitted = version(quality + worse)
        own = against(refitted, frozen, made, date)
        state = ChampionState(REFERENCE, 2, AS_OF, REFERENCE, own, against(refitted, first, 0, date, 1) if first_too and made else None)
        decision = decide(evaluation, Gate(loss="mae"), state, History(challenges=1, new_dates=0))
        accepted.append(decision.verdict == "refreshed")
        if accepted[-1]:
            made, quality, frozen = date, quality + worse, refitted
    return accepted[0], quality


def on_all_dates_again(seed: int, first: int = 250) -> bool:
    """What the rule prevents: the best of a hundred columns on dates that chose it, with 60 new ones, at the second challenge's level."""
    base, columns = noise(np.random.default_rng(seed), first + 60)
    best = columns[int(np.argmin(columns[:, :first].mean(axis=1)))]
    return promoted(Life(challenges=1, seed=seed).train({REFERENCE: base, "dense": best}))


def decided_on_unseen(seed: int, r_squared: float, dates: int, challenges: int) -> bool:
    """Whether a planted signal is promoted on so many unseen dates after so many challenges, with the gate's own minimum effect."""
    losses = signal(np.random.default_rng(seed), 250 + dates, r_squared)
    return promoted(Life(Gate(loss="mae"), looked=250, challenges=challenges, replications=999, seed=seed).train(losses))


def passes(losses: Mapping[str, Float64], level: float, minimum: float = 0.005) -> tuple[bool, bool]:
    """Whether the candidate passes the test and the minimum effect, and whether it does so without its best dates, too."""
    found = compare(losses, "dense", REFERENCE, 1)
    tested = (found.p_value or 0.0) <= level and (found.effect or 0.0) >= minimum
    return tested, tested and (found.effect_without_best or 0.0) > 0


PROCESSES = ("independent", "heavy tails", "GARCH", "AR(1) .3", "overlap 5", "overlap 20")


def differences(generator: np.random.Generator, process: str, count: int, dates: int) -> tuple[Float64, int]:
    """Differences of losses with mean 0, [count, dates], and the dates that a label spans."""
    if process == "independent":
        return generator.standard_normal((count, dates)), 1
    if process == "heavy tails":
        return generator.standard_t(3.5, size=(count, dates)), 1
    if process == "AR(1) .3":
        return lfilter([1.0], [1.0, -0.3], generator.standard_normal((count, dates + 50)), axis=1)[:, 50:], 1
    if process == "GARCH":
        return _garch(generator, count, dates), 1
    horizon = int(process.removeprefix("overlap "))
    total = np.cumsum(generator.standard_normal((count, dates + horizon)), axis=1)
    return total[:, horizon:] - total[:, :-horizon], horizon


def _garch(generator: np.random.Generator, count: int, dates: int, burn: int = 200) -> Float64:
    shocks, variance = generator.standard_normal((count, dates + burn)), np.ones(count)
    found = np.empty_like(shocks)
    for date in range(dates + burn):
        found[:, date] = np.sqrt(variance) * shocks[:, date]
        variance = 0.05 + 0.1 * found[:, date] ** 2 + 0.85 * variance
    return found[:, burn:]


def bartlett_p_values(values: Float64, horizon: int) -> Float64:
    """What the gate's test was before, for comparison: Bartlett's weights, the factor of Harvey, Leybourne and Newbold, t; upper tail."""
    dates = values.shape[1]
    lag = max(horizon - 1, min(max(math.ceil(1.3 * math.sqrt(dates)), 3 * (horizon - 1)), dates // 4))
    mean = values.mean(axis=1)
    power = np.abs(np.fft.rfft(values - mean[:, None], 2 * dates, axis=1)) ** 2
    covariances = np.fft.irfft(power, axis=1)[:, : lag + 1] / dates
    variance = covariances[:, 0] + 2.0 * (covariances[:, 1:] * (1.0 - np.arange(1, lag + 1) / (lag + 1))).sum(axis=1)
    steps = lag + 1
    factor = (dates + 1 - 2 * steps + steps * (steps - 1) / dates) / dates
    return np.asarray(student.sf(mean * np.sqrt(factor * dates / variance), max(1.0, 1.5 * dates / steps)))


def disasters(generator: np.random.Generator, dates: int, every: int, of_reference: bool) -> dict[str, Float64]:
    """Losses equal in the mean: one of the two suffers a disaster on one date in `every`, and is better by its price on all dates."""
    base = np.abs(generator.standard_normal(dates)) + 1.0
    size = 10.0
    suffers = base - size / every + size * (generator.random(dates) < 1.0 / every)
    spared = base + 0.02 * generator.standard_normal(dates)
    return {REFERENCE: suffers, "dense": spared} if of_reference else {REFERENCE: spared, "dense": suffers}
