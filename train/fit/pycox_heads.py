"""pycox's heads: its label transforms, its losses and its Breslow estimate on the project's months."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from pycox.models import CoxPH
from pycox.models.loss import cox_ph_loss, nll_logistic_hazard, nll_mtlr, nll_pc_hazard_loss, nll_pmf
from pycox.preprocessing.label_transforms import LabTransDiscreteTime, LabTransPCHazard
from torch import Tensor

from survnode.model.net.heads import HeadName
from survnode.model.net.network import Output
from survnode.model.timegrid import TimeGrid

FloatArray = NDArray[np.float64]
Events = NDArray[np.bool_]
Labels = tuple[NDArray[np.generic], ...]
Loss = Callable[..., Tensor]

# A day's share of a month is 0.03. pycox's months end where ours begin: a time at the very start of a month is moved
# into it, so that both mean the same month (by the released rule all times are whole months).
INTO_THE_MONTH = 1e-3

LOSSES: dict[HeadName, Loss] = {
    HeadName.LOGISTIC_HAZARD: nll_logistic_hazard,
    HeadName.PMF: nll_pmf,
    HeadName.MTLR: nll_mtlr,
    HeadName.PC_HAZARD: nll_pc_hazard_loss,
    HeadName.COX: cox_ph_loss,
}


class PycoxObjective:
    """The loss that pycox gives a head; see `survnode.train.fit.objectives.Objective`."""

    def __init__(
        self, head: HeadName, grid: TimeGrid, time_months: FloatArray, event: Events, device: torch.device
    ) -> None:
        self.loss = LOSSES[head]
        self.needs_a_death = head is HeadName.COX
        self.labels = [torch.from_numpy(label).to(device) for label in labels_of(head, grid, time_months, event)]

    def __call__(self, output: Output, rows: Tensor) -> Tensor:
        """See `Objective`; of a batch without a death Cox's partial likelihood says nothing, and pycox NaN."""
        labels = [label[rows] for label in self.labels]
        if self.needs_a_death and not labels[1].any():
            return output.outputs.float().sum() * 0
        return self.loss(output.outputs.float(), *labels)


def labels_of(
    head: HeadName, grid: TimeGrid, time_months: FloatArray, event: Events
) -> tuple[NDArray[np.generic], ...]:
    """What pycox's loss wants to know of each patient, beginning with times, or their indices, and events."""
    time_months, event = within_horizon(grid, time_months, event)
    observed = event.astype(np.float32)
    if head is HeadName.COX:
        return time_months.astype(np.float32), observed
    cuts = np.arange(grid.n_bins + 1, dtype=np.float64)
    transform = LabTransDiscreteTime(cuts) if head is not HeadName.PC_HAZARD else _piecewise(grid)
    labels: Labels = transform.transform(time_months, observed)
    return labels


def _piecewise(grid: TimeGrid) -> LabTransPCHazard:
    """Pycox's intervals of a month; given the cuts themselves, its version 0.3 forgets half of its fit."""
    return LabTransPCHazard(grid.n_bins).fit(np.array([float(grid.horizon_months)]), np.ones(1, np.float32))


def within_horizon(grid: TimeGrid, time_months: FloatArray, event: Events) -> tuple[FloatArray, Events]:
    """Times and events as they are known at the horizon, no time at the very start of a month."""
    bins, _ = grid.bins(time_months, event)
    alive = bins == grid.n_bins
    moved = np.maximum(time_months, bins + INTO_THE_MONTH)
    return np.where(alive, float(grid.horizon_months), moved), event & ~alive


def breslow_baseline(grid: TimeGrid, log_hazard: FloatArray, time_months: FloatArray, event: Events) -> Tensor:
    """The cumulative baseline hazard within each month (K,), of patients with these log hazard ratios (B,)."""
    time_months, event = within_horizon(grid, time_months, event)
    as_it_is = torch.nn.Linear(1, 1, bias=False)  # pycox wants a network with a parameter
    torch.nn.init.ones_(as_it_is.weight)
    pycox = CoxPH(as_it_is)
    inputs = log_hazard.astype(np.float32)[:, None]
    pycox.compute_baseline_hazards(inputs, (time_months, event.astype(np.float32)))
    times = pycox.baseline_hazards_.index.to_numpy(np.float64)
    inside = np.minimum(times.astype(np.int64), grid.n_bins - 1)
    hazards = pycox.baseline_hazards_.to_numpy(np.float64)
    return torch.from_numpy(np.bincount(inside, hazards, grid.n_bins)).float()
