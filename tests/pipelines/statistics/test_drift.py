"""Drift: the distances against independent sources, what is found, and how rarely an undisturbed series alarms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from finflow.models.samples import Float64
from finflow.pipelines.statistics.drift import KS, PRIOR, PSI, SHIFT, SPREAD, Distance, Drift, TooShortError, measure_drift

EFFECTS = {PSI: 0.25, KS: 0.2, SHIFT: 0.5, SPREAD: 1.5}
RECENT, REACH, ENTITIES = 60, 60, 2


def returns(samples: int, sessions: int, seed: int, garch: bool) -> Float64:
    """Daily returns of 1 %, [samples, entities, sessions]: two entities that move together, with clusters of volatility or without."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((samples, 1, sessions + 300))
    noise = np.sqrt(0.7) * common + np.sqrt(0.3) * random.standard_normal((samples, ENTITIES, sessions + 300))
    if garch:
        variance = np.ones((samples, ENTITIES))
        for step in range(noise.shape[2]):
            noise[:, :, step] *= np.sqrt(variance)
            variance = 0.02 + 0.90 * variance + 0.08 * noise[:, :, step] ** 2
    return 0.01 * noise[:, :, 300:]


def features(series: Float64) -> Float64:
    """What definitions make of returns [entities, sessions], without the first sixty: [entities, sessions - 60, 5]. Two look far back."""
    frame = pd.DataFrame(series.T)
    columns = [
        series,
        np.log(np.abs(series) + 0.002),
        frame.rolling(20).std().to_numpy().T,
        frame.rolling(20).mean().to_numpy().T,
        frame.rolling(60).mean().to_numpy().T,
    ]
    return np.stack(columns, axis=-1)[:, REACH:]


def compare(values: Float64, recent: int = RECENT) -> Drift:
    """The last sessions of [entities, sessions, columns] against those before."""
    dates = np.datetime64("2010-01-01") + np.arange(values.shape[1])

    def rows(part: slice) -> tuple[Float64, NDArray[np.datetime64]]:
        return values[:, part].reshape(-1, values.shape[2]), np.tile(dates[part], len(values))

    reference, reference_dates = rows(slice(None, -recent))
    now, now_dates = rows(slice(-recent, None))
    return measure_drift(reference, reference_dates, now, now_dates, effects=EFFECTS, level=0.01)


def of_kind(drift: Drift, kind: str, column: int = 0) -> Distance:
    return next(one for one in drift.distances if one.kind == kind and one.column == column)


@pytest.mark.parametrize("garch", [False, True], ids=["constant volatility", "GARCH"])
@pytest.mark.parametrize("seed", [1, 2])
def test_of_fifty_undisturbed_samples_at_most_three_alarm(garch: bool, seed: int) -> None:
    drifts = [compare(features(series)) for series in returns(50, 900 + RECENT + REACH, seed, garch)]
    assert sum(bool(drift.alarms) for drift in drifts) <= 3
    # thresholds alone would have: a mean over sixty sessions is one observation in sixty sessions
    assert sum(of_kind(drift, PSI, column=4).value > EFFECTS[PSI] for drift in drifts) >= 45


@pytest.mark.parametrize("garch", [False, True], ids=["constant volatility", "GARCH"])
def test_a_level_shift_of_one_deviation_is_found(garch: bool) -> None:
    found = 0
    for series in returns(10, 1500 + RECENT + REACH, 5, garch):
        series[:, -RECENT:] += 0.01
        found += bool(compare(features(series)).alarms)
    assert found == 10


def test_a_doubled_volatility_is_found() -> None:
    for series in returns(10, 1500 + RECENT + REACH, 6, garch=False):
        series[:, -RECENT:] *= 2
        drift = compare(features(series))
        assert of_kind(drift, SPREAD).alarm
        assert of_kind(drift, SPREAD).value == pytest.approx(2.0, rel=0.35)


def test_clusters_of_volatility_make_a_doubled_one_hard_to_tell_but_not_a_fourfold_one() -> None:
    """What GARCH does by itself now and then is no alarm every time; it is when it never did so before."""
    double, fourfold = 0, 0
    for series in returns(10, 1500 + RECENT + REACH, 7, garch=True):
        for factor in (2.0, 4.0):
            changed = series.copy()
            changed[:, -RECENT:] *= factor
            alarm = bool(compare(features(changed)).alarms)
            double, fourfold = double + (alarm and factor == 2.0), fourfold + (alarm and factor == 4.0)
    assert 2 <= double <= fourfold
    assert fourfold >= 9


def test_psi_is_the_sum_over_the_references_deciles() -> None:
    random = np.random.default_rng(0)
    reference, recent = random.normal(size=2000), random.normal(0.4, 1.3, size=100)
    found = of_kind(compare(np.concatenate([reference, recent])[None, :, None], recent=100), PSI).value
    edges = [-np.inf, *np.quantile(reference, np.arange(1, 10) / 10, method="inverted_cdf"), np.inf]
    p = np.histogram(recent, np.nextafter(edges, np.inf))[0] + PRIOR
    q = np.histogram(reference, np.nextafter(edges, np.inf))[0] + PRIOR
    p, q = p / p.sum(), q / q.sum()
    assert found == pytest.approx(float(((p - q) * np.log(p / q)).sum()), rel=1e-9)


def test_ks_is_scipys_up_to_the_grid() -> None:
    from scipy.stats import ks_2samp

    random = np.random.default_rng(1)
    for shift in (0.0, 0.3, 1.0):
        reference, recent = random.normal(size=3000), random.normal(shift, size=90)
        found = of_kind(compare(np.concatenate([reference, recent])[None, :, None], recent=90), KS).value
        assert found == pytest.approx(ks_2samp(reference, recent).statistic, abs=1 / 250)


def test_shift_and_spread_are_in_plain_units() -> None:
    random = np.random.default_rng(2)
    values = np.concatenate([random.normal(5, 2, size=4000), random.normal(7, 6, size=400)])
    drift = compare(values[None, :, None], recent=400)
    assert of_kind(drift, SHIFT).value == pytest.approx(1.0, abs=0.35)
    assert of_kind(drift, SPREAD).value == pytest.approx(3.0, abs=0.3)


def test_a_column_that_never_varied_is_found_when_it_does() -> None:
    random = np.random.default_rng(3)
    constant = np.ones((1, 1000, 1))
    assert not compare(constant).alarms
    constant[:, -RECENT:, 0] = random.normal(size=RECENT)
    assert {one.kind for one in compare(constant).alarms} == {PSI, KS}


def test_values_that_go_missing_are_found() -> None:
    values = np.random.default_rng(4).normal(size=(1, 1200, 1))
    values[:, -RECENT // 2 :] = np.nan
    drift = compare(values)
    assert drift.missing.tolist() == [0.5]
    assert of_kind(drift, PSI).alarm


def test_too_short_a_reference_says_nothing() -> None:
    with pytest.raises(TooShortError, match="fewer than 5 windows of 60"):
        compare(np.random.default_rng(5).normal(size=(1, 299 + RECENT, 1)))
    nothing = np.empty(0, "datetime64[D]")
    with pytest.raises(ValueError, match="no recent row"):
        measure_drift(np.zeros((9, 1)), np.arange(9).astype("datetime64[D]"), np.empty((0, 1)), nothing, effects=EFFECTS, level=0.01)


def test_categories_have_cells_of_their_own() -> None:
    """Six categories of which one grows from a tenth to a half: PSI alone, over places, with missing values in a cell."""
    random = np.random.default_rng(3)
    dates = np.datetime64("2020-01-01") + np.repeat(np.arange(600), 20)
    places = random.choice(6, 12_000, p=[0.3, 0.3, 0.1, 0.1, 0.1, 0.1]).astype(np.float64)
    places[random.random(12_000) < 0.05] = np.nan
    numbers = random.normal(size=12_000)
    late = dates >= dates[-1] - 29
    moved = places.copy()
    moved[late & (random.random(12_000) < 0.4)] = 5

    def drift(column: Float64) -> Drift:
        values = np.column_stack([numbers, column])
        return measure_drift(values[~late], dates[~late], values[late], dates[late], effects=EFFECTS, level=0.01, categories={1: 6})

    assert [one.kind for one in drift(moved).distances if one.column == 1] == [PSI]
    assert not drift(places).alarms
    (alarm,) = drift(moved).alarms
    known = np.bincount(np.nan_to_num(moved[late], nan=6).astype(int), minlength=7) + PRIOR
    before = np.bincount(np.nan_to_num(moved[~late], nan=6).astype(int), minlength=7) + PRIOR
    p, q = known / known.sum(), before / before.sum()
    assert alarm.value == pytest.approx(((p - q) * np.log(p / q)).sum())


def test_two_categories_alarm_when_their_shares_move_and_hardly_ever_else() -> None:
    """Beside a number, a share of one half that becomes three quarters, of twenty rows a date; without that, of fifty at most two alarm."""
    dates = np.datetime64("2020-01-01") + np.repeat(np.arange(600), 20)
    late = dates >= dates[-1] - 29

    def alarms(share: float, seed: int) -> int:
        random = np.random.default_rng(seed)
        places = random.random(12_000) < np.where(late, share, 0.5)
        values = np.column_stack([places, random.normal(size=12_000)])
        effects = {**EFFECTS, PSI: 0.0}
        drift = measure_drift(values[~late], dates[~late], values[late], dates[late], effects=effects, level=0.01, categories={0: 2})
        return sum(one.column == 0 for one in drift.alarms)

    assert sum(alarms(0.5, seed) for seed in range(50)) <= 2
    assert [alarms(0.75, seed) for seed in range(5)] == [1] * 5
