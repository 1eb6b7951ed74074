"""DeepHit's loss: how likely what happened was, and whether those who died sooner had the higher incidence.

L = alpha L1 + beta L2 (Lee et al., AAAI 2018, equations 2-5, for one event). The likelihood is computed from
log-softmax, without the small constant that others add inside the logarithm.
"""

import torch
from torch import Tensor
from torch.nn import functional

from survnode.train.recipe import LossSettings, RankingMean


def deephit_loss(logits: Tensor, bins: Tensor, event: Tensor, settings: LossSettings) -> Tensor:
    """The loss of a batch, ().

    Parameters
    ----------
    logits : (B, K + 1)
    bins, event : (B,) int64 and (B,) bool, as `TimeGrid.bins` gives them
    """
    likelihood = negative_log_likelihood(logits, bins, event).mean()
    ranking = ranking_loss(logits, bins, event, settings.sigma, settings.ranking_mean)
    return settings.alpha * likelihood + settings.beta * ranking


def negative_log_likelihood(logits: Tensor, bins: Tensor, event: Tensor) -> Tensor:
    """L1 of each patient, (B,): -log pmf(t_i) for an event, -log(1 - CIF(t_i)) for a censored patient.

    A survivor at the horizon counts as an event in the survivor bin K. Nobody can be censored there.
    """
    log_pmf = functional.log_softmax(logits, dim=1)  # (B, K + 1)
    at_event = log_pmf.gather(1, bins[:, None])[:, 0]  # (B,)
    later = torch.arange(logits.shape[1], device=logits.device) > bins[:, None]  # (B, K + 1)
    # Whoever has an event leaves `later` empty in the survivor bin: its -inf would make the gradient NaN.
    after_censoring = log_pmf.masked_fill(~(later | event[:, None]), -torch.inf).logsumexp(dim=1)
    return -torch.where(event, at_event, after_censoring)


def ranking_loss(logits: Tensor, bins: Tensor, event: Tensor, sigma: float, mean: RankingMean) -> Tensor:
    """L2 of a batch, (): acceptable pairs' exp(-(CIF_i(t_i) - CIF_j(t_i)) / sigma), summed and divided as named."""
    cif = functional.softmax(logits, dim=1).cumsum(dim=1)  # (B, K + 1), the end of each bin
    at_time_of = cif[:, bins].T  # (B, B): [i, j] is CIF_j(t_i)
    lead = at_time_of.diagonal()[:, None] - at_time_of
    pairs = acceptable_pairs(bins, event, strict=mean is RankingMean.PAPER)
    total = torch.where(pairs, torch.exp(-lead / sigma), 0.0).sum()
    return total / _divisor(pairs, mean)


def acceptable_pairs(bins: Tensor, event: Tensor, *, strict: bool) -> Tensor:
    """Which pairs can be ordered, (B, B) bool: i is seen to die before j.

    ``strict`` asks for an earlier bin (the paper's equation). Otherwise j may also be censored in the bin of i's
    death, having lived at least into it (pycox).
    """
    earlier = bins[:, None] < bins[None, :]
    if not strict:
        earlier = earlier | ((bins[:, None] == bins[None, :]) & ~event[None, :])
    return event[:, None] & earlier


def _divisor(pairs: Tensor, mean: RankingMean) -> Tensor | int:
    match mean:
        case RankingMean.SQUARE:
            return pairs.numel()
        case RankingMean.PAPER:
            return pairs.shape[0]
        case RankingMean.PAIRS:
            return pairs.sum().clamp(min=1)
