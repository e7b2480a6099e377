"""The generator of scenarios: its two ways to draw are one, a past has one sequence of shocks, and it learns clustering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from finflow.models.errors import FitFailure
from finflow.models.paths.modules.moments import Moments
from finflow.models.paths.modules.scenario import ScenarioGenerator
from finflow.models.paths.scenario_settings import ScenarioGanSettings
from finflow.models.saving import load_model, save_model
from tests.support.models.path_cases import TINY_GAN, fitted, garch_returns, path_parts


@pytest.fixture
def generator() -> ScenarioGenerator:
    torch.manual_seed(4)
    found = ScenarioGenerator(ScenarioGanSettings(channels=5, layers=4)).double()
    with torch.no_grad():
        found.leave.weight.mul_(6.0)
        found.skew.fill_(-0.1)
        found.tail.fill_(-0.25)
        found.location.fill_(0.03)
    return found.eval()


def test_all_at_once_and_step_by_step_are_the_same(generator: ScenarioGenerator) -> None:
    shocks = torch.randn(3, generator.reach + 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        at_once = generator.draw(shocks)
        state = generator.start(3)
        stepwise = torch.stack([generator.follow(state, one) for one in shocks.unbind(1)], dim=1)
    torch.testing.assert_close(stepwise[:, generator.reach :], at_once)
    assert at_once.std() > 0.5


def test_observed_returns_give_the_shocks_that_made_them_back(generator: ScenarioGenerator) -> None:
    shocks = torch.randn(4, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        drawing, reading = generator.start(4), generator.start(4)
        returns = [generator.follow(drawing, one) for one in shocks.unbind(1)]
        found = torch.stack([generator.observe(reading, one) for one in returns], dim=1)
    torch.testing.assert_close(found, shocks)
    torch.testing.assert_close(reading.seen, drawing.seen)


def test_what_is_not_known_moves_nothing(generator: ScenarioGenerator) -> None:
    with torch.no_grad():
        state = generator.start(2)
        before = state.seen.clone()
        for _ in range(5):
            generator.observe(state, torch.full((2,), torch.nan, dtype=torch.float64))
    torch.testing.assert_close(state.seen, before)


def test_the_density_is_one(generator: ScenarioGenerator) -> None:
    def density(value: float) -> float:
        shock = generator.undo(torch.tensor(value, dtype=torch.float64))
        return float(generator.density(shock).exp())

    with torch.no_grad():
        total, _ = integrate.quad(density, -200.0, 200.0, limit=400, points=[-5.0, 0.0, 5.0])
        assert total == pytest.approx(1.0, abs=1e-4)
        drawn = generator.transform(torch.randn(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(3))).numpy()
        below, _ = integrate.quad(density, -200.0, -1.5, limit=400)
        assert below == pytest.approx((drawn < -1.5).mean(), abs=0.004)
    assert stats.kurtosis(drawn) > 0.5


def test_the_likelihood_is_that_of_the_steps_one_by_one(generator: ScenarioGenerator) -> None:
    """Of a generator whose volatility stands still it is that of independent draws, found here by the change of variables in numbers."""
    with torch.no_grad():
        generator.leave.weight.zero_()
        generator.scale.fill_(0.4)
        past, steps = torch.zeros(2, 3, dtype=torch.float64), torch.tensor([[0.5, -1.0], [2.0, 0.1]], dtype=torch.float64)
        found = float(generator.loss(generator(past), steps))
        values = ((steps - generator.location) * torch.exp(-generator.scale)).numpy()

        def shock(value: float) -> float:
            return float(generator.undo(torch.tensor(value, dtype=torch.float64)))

        slopes = np.vectorize(lambda value: (shock(value + 1e-6) - shock(value - 1e-6)) / 2e-6)(values)
        expected = -(stats.norm.logpdf(np.vectorize(shock)(values)) + np.log(slopes) - 0.4).mean()
    assert found == pytest.approx(expected, rel=1e-6)


def test_moments_are_those_that_numpy_finds() -> None:
    returns = torch.from_numpy(np.stack([garch_returns(400, seed) for seed in range(5)]))
    moments = Moments(returns)
    assert float(moments.distance(returns)) == 0.0
    values, size = returns.numpy(), np.abs(returns.numpy())
    expected = ((size - size.mean())[:, 5:] * (size - size.mean())[:, :-5]).mean() / size.var()
    assert float(moments.real.clustering[2]) == pytest.approx(expected)
    expected = ((values - values.mean())[:, :-2] * (size - size.mean())[:, 2:]).mean() / (values.std() * size.std())
    assert float(moments.real.leverage[1]) == pytest.approx(expected)
    assert float(moments.real.quantiles[6]) == pytest.approx(np.median(values))
    assert float(moments.distance(2 * returns)) > 0.0


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path) -> None:
    train, validation, test, task = path_parts()
    first, second, third = (fitted("scenario_gan", TINY_GAN, train, validation, task, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.predict(test).values, second.predict(test).values)
    assert not np.array_equal(first.predict(test).values, third.predict(test).values)
    save_model(first, tmp_path / "model")
    weights = tmp_path / "model" / "state" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(tmp_path / "model")


def test_what_comes_after_the_training_part_changes_nothing() -> None:
    train, validation, test, task = path_parts()
    later = test.observations.values.copy()
    end = int(max(validation.index.row.max(), train.index.row.max()))
    model = fitted("scenario_gan", TINY_GAN, train, validation, task)
    first = int(test.observations.first[1])
    later[end + 13 :] = 0.5  # of the second entity; the first one's rows lie before
    assert end > first
    noisy = replace(train.observations, values=later)
    other = fitted("scenario_gan", TINY_GAN, replace(train, observations=noisy), replace(validation, observations=noisy), task)
    np.testing.assert_array_equal(model.predict(train).values, other.predict(train).values)


def test_settings_that_do_not_fit_are_refused() -> None:
    train, validation, _, task = path_parts()
    with pytest.raises(FitFailure, match="must lie between 12"):
        fitted("scenario_gan", {**TINY_GAN, "segment": 43}, train, validation, task)


@pytest.mark.slow
def test_it_learns_that_volatility_clusters() -> None:
    """From a strong GARCH: paths of a sample in a storm are wider than those of one in a calm, and steps cluster."""
    series = [garch_returns(2500, seed, alpha=0.1, gamma=0.1, beta=0.83) for seed in (11, 12)]
    train, validation, test, task = path_parts(series, paths=200)
    settings = {"epochs": 30, "batch": 64, "channels": 6, "layers": 5, "critic": 8, "patience": 30, "schedule": "constant"}
    model = fitted("scenario_gan", settings, train, validation, task)
    recent = np.log(test.gather(length=20)[:, :, -1].std(axis=1))
    width = np.log(model.predict(test).values[:, :, -1].std(axis=1))
    assert np.corrcoef(recent, width)[0, 1] > 0.5
    assert 0.7 < np.exp(width).mean() / test.targets[:, -1].std() < 1.4
