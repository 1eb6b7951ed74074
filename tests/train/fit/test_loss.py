"""The loss against pycox's, against sums by hand, and where others' gradients vanish."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from pycox.models.data import pair_rank_mat
from pycox.models.loss import DeepHitSingleLoss, nll_pmf, rank_loss_deephit_single

from survnode.model.timegrid import TimeGrid
from survnode.train.fit.loss import (
    acceptable_pairs,
    deephit_loss,
    negative_log_likelihood,
    ranking_loss,
)
from survnode.train.recipe import LossSettings, RankingMean

K = 24


def batch(seed: int, size: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits with the survivor bin's fixed at 0, bins before the horizon, events."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, K, generator=generator)
    bins = torch.randint(0, K, (size,), generator=generator)
    event = torch.rand(size, generator=generator) < 0.6
    return torch.cat([logits, torch.zeros(size, 1)], dim=1), bins, event


@pytest.mark.parametrize("seed", range(10))
def test_likelihood_equals_pycox(seed: int) -> None:
    logits, bins, event = batch(seed)
    expected = nll_pmf(logits[:, :-1], bins, event.float())
    torch.testing.assert_close(negative_log_likelihood(logits, bins, event).mean(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(10))
def test_ranking_loss_equals_pycox(seed: int) -> None:
    logits, bins, event = batch(seed)
    rank = torch.from_numpy(pair_rank_mat(bins.numpy(), event.float().numpy()))
    expected = rank_loss_deephit_single(logits[:, :-1], bins, event.float(), rank, 0.1)
    found = ranking_loss(logits, bins, event, 0.1, RankingMean.SQUARE)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_whole_loss_equals_pycox(seed: int) -> None:
    logits, bins, event = batch(seed)
    rank = torch.from_numpy(pair_rank_mat(bins.numpy(), event.float().numpy()))
    expected = DeepHitSingleLoss(alpha=0.2, sigma=0.3)(logits[:, :-1], bins, event.float(), rank)
    settings = LossSettings(alpha=0.2, beta=0.8, sigma=0.3, ranking_mean=RankingMean.SQUARE)
    torch.testing.assert_close(deephit_loss(logits, bins, event, settings), expected, atol=1e-6, rtol=0)


def test_loss_of_three_patients_by_hand() -> None:
    # pmf over bins 0, 1 and the survivor bin; A dies in bin 0, B is censored in bin 1, C lives on.
    pmf = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.25, 0.25, 0.5]], dtype=torch.float64)
    bins, event = torch.tensor([0, 1, 2]), torch.tensor([True, False, True])
    likelihood = (-math.log(0.5) - math.log(0.7) - math.log(0.5)) / 3
    pair_sum = math.exp(-(0.5 - 0.1) / 0.1) + math.exp(-(0.5 - 0.25) / 0.1)
    for mean, divisor in [(RankingMean.SQUARE, 9), (RankingMean.PAPER, 3), (RankingMean.PAIRS, 2)]:
        found = deephit_loss(pmf.log(), bins, event, LossSettings(ranking_mean=mean))
        assert found.item() == pytest.approx(likelihood + 0.5 * pair_sum / divisor, abs=1e-12)


def test_survivor_at_the_horizon_has_a_gradient() -> None:
    bins, event = TimeGrid().bins(np.array([24.0, 60.0, 3.0]), np.array([True, False, True]))
    assert bins.tolist() == [24, 24, 3]
    logits = torch.zeros(3, K + 1, requires_grad=True)
    negative_log_likelihood(logits, torch.from_numpy(bins), torch.from_numpy(event)).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, K] < -0.9  # its own bin is pulled up ...
    assert (logits.grad[0, :K] > 0).all()  # ... and every other pushed down


def test_survivor_is_never_the_earlier_of_a_pair() -> None:
    bins, event = torch.tensor([2, 2, 0]), torch.tensor([True, True, True])  # K = 2: two survivors
    for strict in (True, False):
        pairs = acceptable_pairs(bins, event, strict=strict)
        assert pairs.nonzero().tolist() == [[2, 0], [2, 1]]


def test_patient_censored_in_the_bin_of_a_death_is_compared_unless_strict() -> None:
    bins, event = torch.tensor([1, 1]), torch.tensor([True, False])
    assert acceptable_pairs(bins, event, strict=False).nonzero().tolist() == [[0, 1]]
    assert not acceptable_pairs(bins, event, strict=True).any()


@pytest.mark.parametrize("mean", list(RankingMean))
def test_extreme_logits_give_finite_gradients(mean: RankingMean) -> None:
    logits = torch.tensor([[80.0, -80.0, 0.0], [-80.0, 0.0, 80.0], [0.0, 80.0, -80.0]], requires_grad=True)
    bins, event = torch.tensor([1, 0, 2]), torch.tensor([False, True, True])
    deephit_loss(logits, bins, event, LossSettings(ranking_mean=mean)).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_batch_without_a_pair_has_only_its_likelihood() -> None:
    logits, bins, _ = batch(0)
    event = torch.zeros(len(bins), dtype=torch.bool)
    expected = negative_log_likelihood(logits, bins, event).mean()
    for mean in RankingMean:
        torch.testing.assert_close(deephit_loss(logits, bins, event, LossSettings(ranking_mean=mean)), expected)


def test_gradient_equals_finite_differences() -> None:
    logits, bins, event = batch(1, size=6)
    survivors = torch.where(bins > 16, K, bins)
    exact = logits.double().requires_grad_()
    for mean in RankingMean:
        loss = partial(deephit_loss, settings=LossSettings(ranking_mean=mean))
        assert torch.autograd.gradcheck(loss, (exact, survivors, event | (survivors == K)))
