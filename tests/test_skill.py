"""The gate lets real skill through and noise not: whole comparisons on simulated series whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.skill import decide_on, simulated_definition

WITH_SIGNAL = {"arima", "ridge", "dense"}


def source(process: str, seed: int, r_squared: float, days: int) -> dict[str, object]:
    return {
        "kind": "simulated",
        "process": process,
        "entities": 1,
        "days": days,
        "r_squared": r_squared,
        "volatility": 0.01,
        "start": "2010-01-04",
        "seed": seed,
    }


def promoted(process: str, count: int, r_squared: float, folder: Path, days: int = 1500, first_test: str = "2012-01-01") -> list[str]:
    """Who is champion after the first decision on each of `count` series."""
    found = []
    for seed in range(count):
        folds = {"first_test": first_test, "months": 12, "validation_months": 6, "embargo": 1}
        definition = simulated_definition(process, seed, source=source(process, 1000 + seed, r_squared, days), folds=folds)
        found.append(decide_on(definition, folder / str(seed)).candidate)
    return found


def test_random_walks_promote_no_network(tmp_path: Path) -> None:
    champions = promoted("random_walk", 20, 0.0, tmp_path)
    assert champions.count("dense") <= 2, champions


def test_a_linear_signal_is_used(tmp_path: Path) -> None:
    champions = promoted("autoregressive", 20, 0.1, tmp_path)
    assert sum(name in WITH_SIGNAL for name in champions) >= 18, champions


def test_a_non_linear_signal_promotes_the_network_over_every_baseline(tmp_path: Path) -> None:
    champions = promoted("product_of_lags", 10, 0.2, tmp_path)
    assert champions.count("dense") >= 8, champions


@pytest.mark.benchmark
def test_a_hundred_random_walks(tmp_path: Path) -> None:
    from tests.benchmarks.figures import record

    champions = promoted("random_walk", 100, 0.0, tmp_path)
    record("random walks that promoted a network, of 100", promoted=champions.count("dense"))
    assert champions.count("dense") <= 6, champions
