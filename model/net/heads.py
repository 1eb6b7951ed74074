"""The survival heads: a patient's vector -> what became of it, month by month.

All heads have DeepHit's two stacks and differ in what they put out and in the loss that trains it (see
`survnode.train.fit.objectives`), so that they can be compared. Whatever a head puts out, its logits (B, K + 1) say the
same: their softmax is the probability of death in each month, and of being alive at the horizon.

The names and parametrisations are those of pycox (Kvamme, Borgan and Scheel, JMLR 2019). Its discrete heads have K + 1
time points 0, 1, ..., K; nobody dies at point 0, and what little mass a head leaves there counts to the first month.
"""

from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional

from survnode.model.net.deephit import DeepHit, DeepHitConfig


class HeadName(StrEnum):
    """A survival head."""

    DEEPHIT = "deephit"  # Lee et al., AAAI 2018
    LOGISTIC_HAZARD = "logistic_hazard"  # Nnet-survival: Gensheimer and Narasimhan, PeerJ 2019
    PMF = "pmf"  # a softmax over the months, by its likelihood alone
    MTLR = "mtlr"  # Yu et al., NIPS 2011; Fotso 2018
    PC_HAZARD = "pc_hazard"  # a hazard that is constant within a month: Kvamme and Borgan 2019
    COX = "cox"  # DeepSurv: Katzman et al. 2018, its baseline by Breslow


class LogisticHazard(DeepHit):
    """The logit of the hazard at each time point: who came so far dies there with this probability."""

    def logits(self, outputs: Tensor) -> Tensor:
        """See `DeepHit.logits`."""
        outputs = outputs.double()
        alive = functional.logsigmoid(-outputs).cumsum(dim=1)  # (B, K + 1): log of being alive after each point
        before = functional.pad(alive[:, :-1], (1, 0))
        dying = functional.logsigmoid(outputs) + before
        return torch.cat([_without_point_zero(dying), alive[:, -1:]], dim=1)


class Pmf(DeepHit):
    """The logit of death at each time point; that of living on is 0."""

    def logits(self, outputs: Tensor) -> Tensor:
        """See `DeepHit.logits`."""
        return functional.pad(_without_point_zero(outputs.double()), (0, 1))


class Mtlr(Pmf):
    """As `Pmf`, each logit the sum of the outputs from its time point on: neighbours are alike."""

    def logits(self, outputs: Tensor) -> Tensor:
        """See `DeepHit.logits`."""
        return super().logits(outputs.double().flip(1).cumsum(dim=1).flip(1))


class PcHazard(DeepHit):
    """The hazard within each month, through a softplus."""

    @staticmethod
    def outputs(n_bins: int) -> int:
        """See `DeepHit.outputs`: one a month."""
        return n_bins

    def logits(self, outputs: Tensor) -> Tensor:
        """See `DeepHit.logits`."""
        return _log_mass(functional.softplus(outputs.double()))


class Cox(DeepHit):
    """The log of a hazard ratio, the same in every month; the baseline is found from the training patients.

    Before it is known it rises in a straight line, which orders patients as any other does.
    """

    baseline: Tensor

    def __init__(self, width: int, n_bins: int, config: DeepHitConfig) -> None:
        super().__init__(width, n_bins, config)
        self.register_buffer("baseline", torch.full((n_bins,), 1 / n_bins))  # (K,), cumulative hazard within each month

    @staticmethod
    def outputs(n_bins: int) -> int:  # noqa: ARG004  the same for any number of bins
        """See `DeepHit.outputs`: one."""
        return 1

    def logits(self, outputs: Tensor) -> Tensor:
        """See `DeepHit.logits`."""
        return _log_mass(outputs.double().exp() * self.baseline.double())  # (B, 1) * (K,) -> (B, K)


HEADS: dict[HeadName, type[DeepHit]] = {
    HeadName.DEEPHIT: DeepHit,
    HeadName.LOGISTIC_HAZARD: LogisticHazard,
    HeadName.PMF: Pmf,
    HeadName.MTLR: Mtlr,
    HeadName.PC_HAZARD: PcHazard,
    HeadName.COX: Cox,
}


def build_head(name: HeadName, width: int, n_bins: int, config: DeepHitConfig) -> DeepHit:
    """A new head of ``width`` inputs for ``n_bins`` months."""
    return HEADS[name](width, n_bins, config)


def _without_point_zero(points: Tensor) -> Tensor:
    """Logits of K + 1 time points -> of K months, the first two added up; (B, K + 1) -> (B, K)."""
    first = torch.logaddexp(points[:, :1], points[:, 1:2])
    return torch.cat([first, points[:, 2:]], dim=1)


def _log_mass(hazard: Tensor) -> Tensor:
    """Log mass (B, K + 1) of cumulative hazards within each month (B, K)."""
    alive = functional.pad(-hazard.cumsum(dim=1), (1, 0))  # (B, K + 1): log of being alive at 0, 1, ..., K
    dying = alive[:, :-1] + torch.log(-torch.expm1(-hazard))
    return torch.cat([dying, alive[:, -1:]], dim=1)
