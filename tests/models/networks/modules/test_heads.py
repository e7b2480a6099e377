"""Heads: quantiles that hold, whatever the network says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from finflow.models.networks.modules.heads import HEADS, Head, PointHead, QuantileHead, StudentHead, pinball, sample_crps
from tests.support.models.network_cases import LEVELS


def test_pinball_by_hand() -> None:
    quantiles = torch.tensor([[[1.0, 2.0]]])
    # levels 0.1 and 0.8; target 3 lies above both: 0.1 * 2 and 0.8 * 1; target 0 below both: 0.9 * 1 and 0.2 * 2
    levels = torch.tensor([0.1, 0.8])
    assert pinball(quantiles, torch.tensor([[3.0]]), levels).item() == pytest.approx((0.2 + 0.8) / 2)
    assert pinball(quantiles, torch.tensor([[0.0]]), levels).item() == pytest.approx((0.9 + 0.4) / 2)


def test_sample_crps_is_that_of_a_normal() -> None:
    """Closed form for a normal (Gneiting and Raftery, 2007): s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (y - m) / s."""
    torch.manual_seed(0)
    location, scale = torch.tensor([0.5], requires_grad=True), torch.tensor([2.0], requires_grad=True)
    targets = torch.tensor([[-3.0], [0.4], [2.5]])
    shocks = torch.randn(3, 200_000, 1)
    found = sample_crps(location + scale * shocks, targets)
    z = (targets[:, 0].numpy() - 0.5) / 2.0
    expected = 2.0 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - np.pi**-0.5)
    assert found.item() == pytest.approx(expected.mean(), abs=0.01)
    by_location, by_scale = torch.autograd.grad(found, (location, scale))
    assert by_location.item() == pytest.approx(np.mean(1 - 2 * stats.norm.cdf(z)), abs=0.01)
    assert by_scale.item() == pytest.approx(np.mean(2 * stats.norm.pdf(z) - np.pi**-0.5), abs=0.01)


def test_sample_crps_by_pairs_and_without_bias() -> None:
    torch.manual_seed(0)
    draws, targets = torch.randn(4, 5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    pairs = (draws[:, :, None] - draws[:, None]).abs().sum((1, 2)) / (2 * 5 * 4)
    expected = ((draws - targets[:, None]).abs().mean(1) - pairs).mean()
    torch.testing.assert_close(sample_crps(draws, targets), expected)
    many = sample_crps(torch.randn(100_000, 2, 1), torch.randn(100_000, 1)).item()
    assert many == pytest.approx(np.pi**-0.5, abs=0.01), "two draws are as good as many, on average"


@pytest.mark.parametrize("name", sorted(HEADS))
def test_quantiles_ascend_for_wild_features(name: str) -> None:
    torch.manual_seed(0)
    head: Head = HEADS[name](6, 3, LEVELS)
    targets = torch.randn(400, 3)
    head.begin(targets)
    head.finish(head(torch.randn(400, 6)), targets)
    found = head.quantiles(head(torch.randn(500, 6) * 100))
    assert found.shape == (500, 3, 5)
    assert (found.diff(dim=2) >= 0).all()


def test_quantile_head_starts_at_the_quantiles_of_the_training_targets() -> None:
    torch.manual_seed(0)
    targets = torch.randn(5000, 2).exp()
    head = QuantileHead(4, 2, LEVELS)
    head.begin(targets)
    found = head(torch.zeros(1, 4))[0].detach().numpy()
    np.testing.assert_allclose(found, np.quantile(targets.numpy(), LEVELS, axis=0).T, rtol=1e-5)


def test_student_head_finds_the_student_t() -> None:
    torch.manual_seed(0)
    drawn = stats.t.rvs(df=5, loc=1.0, scale=2.0, size=(20_000, 1), random_state=3)
    targets, features = torch.from_numpy(drawn).float(), torch.zeros(20_000, 1)
    head = StudentHead(1, 1, LEVELS)
    head.begin(targets)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = head.loss(head(features), targets)
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    expected = -stats.t.logpdf(drawn, df=5, loc=1.0, scale=2.0).mean()
    assert closure().item() == pytest.approx(expected, abs=2e-3)
    head.finish(head(features), targets)
    found = head.quantiles(head(features[:1])).detach().numpy()[0, 0]
    np.testing.assert_allclose(found, stats.t.ppf(LEVELS, df=5, loc=1.0, scale=2.0), atol=0.06)


def test_point_head_takes_its_spread_from_what_it_missed() -> None:
    head = PointHead(1, 1, (0.05, 0.5, 0.95))
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.zero_()
    missed = torch.tensor([[value] for value in (-4.0, 1.0, -2.0, 3.0, 0.5, -0.1, 0.2, 0.3, -6.0)])
    head.finish(head(torch.zeros(9, 1)), missed)
    # nine residuals: the 90 % interval takes rank ceil(10 * 0.9) = 9, the largest
    assert head.quantiles(head(torch.zeros(1, 1)))[0, 0].tolist() == [-6.0, 0.0, 6.0]


def test_point_head_covers_what_it_promises_even_when_biased() -> None:
    torch.manual_seed(0)
    head = PointHead(1, 1, (0.1, 0.5, 0.9))
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.fill_(0.7)  # the targets have mean nought
    head.finish(head(torch.zeros(4000, 1)), torch.randn(4000, 1))
    low, middle, high = head.quantiles(head(torch.zeros(1, 1)))[0, 0].tolist()
    assert middle == pytest.approx(0.7)
    fresh = torch.randn(20_000)
    assert ((fresh > low) & (fresh < high)).double().mean().item() == pytest.approx(0.8, abs=0.02)
