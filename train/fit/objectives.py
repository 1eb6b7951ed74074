"""What a head is trained by: the loss of a batch of patients, of whom the whole cohort's outcomes are known.

DeepHit's is `survnode.train.fit.loss`. pycox's own is not called for it: it has no bin for survivors, cannot divide the
ranking loss as the paper does, and adds 1e-7 inside the logarithm, which leaves no gradient to whom the network is most
wrong about. The other heads' losses and labels are pycox's.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from survnode.model.net.heads import HeadName
from survnode.model.net.network import Output
from survnode.model.timegrid import TimeGrid
from survnode.train.fit.loss import deephit_loss
from survnode.train.recipe import LossSettings


class Objective(Protocol):
    """The loss of patients."""

    def __call__(self, output: Output, rows: Tensor) -> Tensor:
        """The mean loss, (), of what a network said of the patients in ``rows`` (B,) of the cohort."""


class DeepHitObjective:
    """Likelihood and ranking, see `survnode.train.fit.loss`."""

    def __init__(self, bins: Tensor, event: Tensor, settings: LossSettings) -> None:
        self.bins, self.event, self.settings = bins, event, settings

    def __call__(self, output: Output, rows: Tensor) -> Tensor:
        """See `Objective`."""
        return deephit_loss(output.logits.float(), self.bins[rows], self.event[rows], self.settings)


def objective_of(
    head: HeadName,
    grid: TimeGrid,
    time_months: NDArray[np.float64],
    event: NDArray[np.bool_],
    settings: LossSettings,
    device: torch.device,
) -> Objective:
    """How a head is trained on a cohort; whoever lives beyond the horizon counts as alive at it, with any head."""
    if head is HeadName.DEEPHIT:
        bins, observed = (torch.from_numpy(array).to(device) for array in grid.bins(time_months, event))
        return DeepHitObjective(bins, observed, settings)
    from survnode.train.fit.pycox_heads import PycoxObjective  # noqa: PLC0415  slow to import, wanted by few

    return PycoxObjective(head, grid, time_months, event, device)
