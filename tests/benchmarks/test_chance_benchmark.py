"""What the gate promises, by simulation: noise is promoted at most as often as stated, however it is tried; and what skill it can see."""

from __future__ import annotations

import math

import numpy as np
import pytest

from finflow.pipelines.statistics import diebold_mariano
from finflow.pipelines.training.spending import level_to_spend
from tests.benchmarks.figures import record
from tests.support import chance
from tests.support.chance import Share

pytestmark = pytest.mark.benchmark

TRIES = 2000
FIRST, SECOND = level_to_spend(0.05, 0), level_to_spend(0.05, 1)


def share(hits: list[bool]) -> Share:
    return Share(sum(hits), len(hits))


def held(name: str, found: Share, level: float) -> None:
    """Record it, and hold that the level lies above or in the interval."""
    record(f"noise promoted: {name}", **found.figures("share"), at_most=level)
    assert found.interval[0] <= level, f"{name}: {found.value:.2%} of {found.tries} tries, where {level:.2%} is stated"


def test_a_hundred_columns_one_by_one_and_then_the_best_together() -> None:
    first, at_once, later = zip(*(chance.combined_after_single_looks(seed) for seed in range(TRIES)), strict=True)
    held("100 columns looked at one by one", share(list(first)), FIRST)
    held("then the best 5 combined on the same dates", share(list(at_once)), 0.0)
    held("then combined, after 60 new dates", share(list(later)), SECOND)


def test_the_best_of_a_hundred_after_new_dates() -> None:
    found = [chance.best_after_new_dates(seed)[1] for seed in range(TRIES)]
    held("best of 100 by seen dates, after 60 new dates", share(found), SECOND)
    again = share([chance.on_all_dates_again(seed) for seed in range(TRIES)])
    record("the same, if seen dates decided too", **again.figures("share"))
    assert again.value > 0.1, "the rule prevents something"
    held("all 100 at once in the first challenge", share([chance.all_at_once(seed) for seed in range(TRIES // 2)]), FIRST)


def test_the_same_under_other_names() -> None:
    found = [chance.best_after_new_dates(seed, names=3)[1] for seed in range(TRIES)]
    held("the same under three names", share(found), SECOND)


def test_a_raised_level() -> None:
    found = [chance.best_after_new_dates(seed, levels=(0.05, 0.2, 0.45)) for seed in range(TRIES)]
    held("level raised to .2 at the second challenge", share([one[1] for one in found]), SECOND)
    held("level raised to .45 at the third challenge", share([one[2] for one in found]), level_to_spend(0.05, 2))


def test_a_closed_gate_and_a_life_of_challenges() -> None:
    held("a life of 8 challenges, with trainings between them", share([chance.closed_gate(seed) for seed in range(TRIES)]), 0.05)


@pytest.mark.parametrize("r_squared", [0.02, 0.05, 0.1])
def test_what_a_challenge_sees_on_unseen_dates(r_squared: float) -> None:
    for number, name in ((0, "first"), (1, "second")):
        for dates in (60, 120, 250):
            found = share([chance.decided_on_unseen(seed, r_squared, dates, number) for seed in range(TRIES // 2)])
            record(f"skill promoted: R2 {100 * r_squared:g} %, {name} challenge on {dates} unseen dates", **found.figures("share"))


def test_what_the_best_dates_cost_and_save() -> None:
    for r_squared, dates in ((0.02, 60), (0.02, 250), (0.05, 60), (0.05, 250), (0.1, 60), (0.1, 250)):
        made = [chance.passes(chance.signal(np.random.default_rng(seed), dates, r_squared), FIRST) for seed in range(TRIES)]
        tested, kept = (share(list(one)) for one in zip(*made, strict=True))
        record(
            f"skill without the five best dates: R2 {100 * r_squared:g} %, {dates} dates", with_the_demand=kept.value, without=tested.value
        )
    for of_reference, who in ((False, "candidate"), (True, "reference")):
        for dates, every in ((250, 500), (250, 50), (60, 20)):
            made = [
                chance.passes(chance.disasters(np.random.default_rng(seed), dates, every, of_reference), FIRST) for seed in range(TRIES)
            ]
            tested, kept = (share(list(one)) for one in zip(*made, strict=True))
            name = f"even in the mean, the {who} suffers a disaster once in {every} dates: passes on {dates}"
            record(name, with_the_demand=kept.value, without=tested.value)


def test_refreshes_that_are_worse_each_time() -> None:
    own, both = ([chance.refreshes(seed, first_too=first_too) for seed in range(TRIES // 4)] for first_too in (False, True))
    record("a first refresh worse by 2 %, on 20 dates: accepted", **share([accepted for accepted, _ in both]).figures("share"))
    record(
        "20 refreshes of 20 dates, each worse by 2 %: how much worse the last is than the first",
        with_the_first_version=float(np.mean([worse for _, worse in both])),
        without=float(np.mean([worse for _, worse in own])),
    )


@pytest.mark.parametrize("process", chance.PROCESSES)
def test_the_size_of_the_test(process: str) -> None:
    """Both tails of symmetric differences count, so that 5,000 series are 10,000 tries."""
    count, generator = 5_000, np.random.default_rng(1)
    for dates in (60, 120, 250, 500, 1250):
        values, horizon = chance.differences(generator, process, count, dates)
        nothing = np.zeros(dates)
        now = np.array([diebold_mariano(row, nothing, horizon=horizon, alternative="greater").p_value for row in values])
        before = chance.bartlett_p_values(values, horizon)
        figures: dict[str, float] = {}
        for level, name in ((0.05, "at .05"), (FIRST, "at .0304"), (SECOND, "at .0076")):
            figures[name] = float((now <= level).mean() + (now >= 1 - level).mean()) / 2
            figures[f"before {name}"] = float((before <= level).mean() + (before >= 1 - level).mean()) / 2
        record(f"true null rejected: {process}, {dates} dates", **figures, standard_error=math.sqrt(FIRST * (1 - FIRST) / (2 * count)))
