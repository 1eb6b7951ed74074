"""Labels and baselines of pycox on the project's months, by hand and beside lifelines."""

import numpy as np
import pytest
import torch
from lifelines import NelsonAalenFitter
from pycox.models.loss import nll_pmf

from survnode.model.net.heads import HeadName
from survnode.model.net.network import Output
from survnode.model.timegrid import TimeGrid
from survnode.train.fit.loss import negative_log_likelihood
from survnode.train.fit.pycox_heads import PycoxObjective, breslow_baseline, labels_of

GRID = TimeGrid(3)
# A dies in month 0, B at the very start of month 1, C is censored in month 2, D dies beyond the horizon, E lives on.
TIME = np.array([0.5, 1.0, 2.5, 4.0, 3.0])
EVENT = np.array([True, True, False, True, False])
CPU = torch.device("cpu")


@pytest.mark.parametrize("head", [HeadName.LOGISTIC_HAZARD, HeadName.PMF, HeadName.MTLR])
def test_discrete_labels_name_the_point_that_ends_a_month_of_death_and_begins_one_of_censoring(head: HeadName) -> None:
    points, event = labels_of(head, GRID, TIME, EVENT)
    assert points.tolist() == [1, 2, 2, 3, 3]
    assert event.tolist() == [1, 1, 0, 0, 0]


def test_piecewise_labels_name_the_month_and_the_share_of_it_that_was_lived() -> None:
    months, event, share = labels_of(HeadName.PC_HAZARD, GRID, TIME, EVENT)
    assert months.tolist() == [0, 1, 2, 2, 2]
    assert event.tolist() == [1, 1, 0, 0, 0]
    assert share.tolist() == pytest.approx([0.5, 0.001, 0.5, 1, 1], abs=1e-6)


def test_death_at_time_zero_and_of_whole_months_counts_to_the_month_that_begins_there() -> None:
    months, event, _ = labels_of(HeadName.PC_HAZARD, GRID, np.array([0.0, 2.0]), np.array([True, True]))
    assert (months.tolist(), event.tolist()) == ([0, 2], [1, 1])


def test_cox_knows_nothing_beyond_the_horizon() -> None:
    time, event = labels_of(HeadName.COX, GRID, TIME, EVENT)
    assert time.tolist() == pytest.approx([0.5, 1.001, 2.5, 3, 3])
    assert event.tolist() == [1, 1, 0, 0, 0]


def test_batch_without_a_death_teaches_a_cox_model_nothing() -> None:
    outputs = torch.zeros(2, 1, requires_grad=True)
    objective = PycoxObjective(HeadName.COX, GRID, TIME, EVENT, CPU)
    loss = objective(Output(outputs, None, outputs), torch.tensor([2, 4]))
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad is not None
    assert outputs.grad.tolist() == [[0], [0]]


def test_baseline_of_equal_hazards_is_that_of_nelson_and_aalen() -> None:
    rng = np.random.default_rng(3)
    time, event = rng.exponential(2.0, 200), rng.random(200) < 0.7
    fitted = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(time, event)
    expected = np.diff([0.0, *fitted.cumulative_hazard_at_times([1, 2, 3]).to_numpy()])
    found = breslow_baseline(GRID, np.zeros(200), time, event)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_baseline_by_hand() -> None:
    # Hazard ratios 1, 2, 1, 3, 1: A dies beside all five (8), B beside all but A (7), nobody else is seen to die.
    found = breslow_baseline(GRID, np.log([1.0, 2, 1, 3, 1]), TIME, EVENT)
    assert found.tolist() == pytest.approx([1 / 8, 1 / 7, 0])


def test_pycox_leaves_no_gradient_to_whom_deephit_is_most_wrong_about_and_the_own_loss_does() -> None:
    bins, event = torch.tensor([0]), torch.tensor([False])
    own = torch.tensor([[30.0, -30.0, -30.0, 0.0]], requires_grad=True)
    theirs = own.detach().clone().requires_grad_()
    negative_log_likelihood(own, bins, event).sum().backward()
    nll_pmf(theirs[:, :3], bins, event.float()).backward()
    assert own.grad is not None
    assert theirs.grad is not None
    assert own.grad[0, 0] > 0.99
    assert theirs.grad.abs().max() < 0.01
