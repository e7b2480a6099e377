"""The gate's promise, by a small simulation of each way to try noise often; `make bench` has the large one."""

from __future__ import annotations

import numpy as np
import pytest

from finflow.pipelines.statistics import diebold_mariano
from tests.support import chance
from tests.support.chance import Share


def held(hits: list[bool], level: float) -> None:
    found = Share(sum(hits), len(hits))
    assert found.interval[0] <= level, f"{found.value:.1%} of {found.tries} tries, where {level:.2%} is stated"


def test_noise_that_is_looked_at_first_is_promoted_no_more_often_than_stated() -> None:
    tries = [chance.combined_after_single_looks(seed) for seed in range(100)]
    held([first for first, _, _ in tries], 0.0304)
    assert not any(at_once for _, at_once, _ in tries), "nothing is decided on seen dates"
    held([later for _, _, later in tries], 0.0076)


def test_the_best_of_a_hundred_after_new_dates_under_three_names_and_a_raised_level() -> None:
    held([chance.best_after_new_dates(seed, names=3, levels=(0.05, 0.45))[1] for seed in range(100)], 0.0076)


def test_the_simulation_can_fail() -> None:
    """Were the seen dates decided on again, the best of a hundred would pass."""
    assert sum(chance.on_all_dates_again(seed) for seed in range(60)) >= 6


def test_a_closed_gate_promotes_nothing_and_a_whole_life_little() -> None:
    held([chance.closed_gate(seed, rounds=4) for seed in range(40)], 0.05)


def test_a_signal_of_ten_per_cent_is_seen_on_a_year_of_unseen_dates() -> None:
    seen = [chance.decided_on_unseen(seed, 0.1, 250, 0) for seed in range(60)]
    assert sum(seen) >= 30
    assert sum(chance.decided_on_unseen(seed, 0.0, 250, 0) for seed in range(60)) <= 6


@pytest.mark.parametrize("process", chance.PROCESSES)
def test_the_level_is_kept_on_few_dates(process: str) -> None:
    """1,500 series and both tails: two standard errors of 3.04 % are 0.6 %."""
    values, horizon = chance.differences(np.random.default_rng(2), process, 1500, 120)
    found = np.array([diebold_mariano(row, np.zeros(120), horizon=horizon, alternative="greater").p_value for row in values])
    share = ((found <= 0.0304).mean() + (found >= 1 - 0.0304).mean()) / 2
    assert 0.022 <= share <= 0.0385


def test_what_was_used_before_is_too_cautious_on_few_dates_and_errs_over_long_horizons() -> None:
    """Why the variance is of cosines."""
    short, _ = chance.differences(np.random.default_rng(3), "independent", 4000, 60)
    long, horizon = chance.differences(np.random.default_rng(3), "overlap 20", 4000, 60)
    assert (chance.bartlett_p_values(short, 1) <= 0.0304).mean() < 0.025
    assert (chance.bartlett_p_values(long, horizon) <= 0.0304).mean() > 0.045


def test_five_lucky_dates_are_told_from_skill() -> None:
    """A reference that suffers disasters makes a candidate look good that was spared; a disaster that did not come is seen by no test."""
    made = [chance.passes(chance.disasters(np.random.default_rng(seed), 60, 20, True), 0.0304) for seed in range(600)]
    tested, kept = (sum(one) for one in zip(*made, strict=True))
    assert tested >= 3
    assert kept <= tested / 2
    spared = [chance.passes(chance.disasters(np.random.default_rng(seed), 250, 500, False), 0.0304)[1] for seed in range(100)]
    assert sum(spared) >= 45, "the other side: nobody sees it"


def test_refreshes_that_are_worse_each_time_lead_little_further_down_than_one() -> None:
    own, both = (np.mean([chance.refreshes(seed, first_too=first_too)[1] for seed in range(20)]) for first_too in (False, True))
    assert both < 0.03
    assert own > 2 * both
