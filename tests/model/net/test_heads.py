"""The heads' months against what pycox makes of the same outputs, and where numbers end."""

import numpy as np
import pytest
import torch
from pycox.models import MTLR, PMF, LogisticHazard, PCHazard

from survnode.model.net.deephit import DeepHitConfig
from survnode.model.net.heads import Cox, HeadName, build_head

K = 6
PYCOX = {
    HeadName.LOGISTIC_HAZARD: LogisticHazard,
    HeadName.PMF: PMF,
    HeadName.MTLR: MTLR,
    HeadName.PC_HAZARD: PCHazard,
}


def survival(name: HeadName, outputs: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """At the end of each month, (B, K)."""
    pmf = build_head(name, 3, K, DeepHitConfig()).logits(outputs).double().softmax(dim=1)
    return np.asarray(1 - pmf.cumsum(dim=1)[:, :-1].numpy())


@pytest.mark.parametrize("name", list(PYCOX))
def test_survival_is_what_pycox_makes_of_the_same_outputs(name: HeadName) -> None:
    head = build_head(name, 3, K, DeepHitConfig())
    outputs = torch.randn(5, head.outputs(K), generator=torch.Generator().manual_seed(1)) * 2
    as_they_are = torch.nn.Linear(head.outputs(K), head.outputs(K), bias=False)
    torch.nn.init.eye_(as_they_are.weight)
    expected = PYCOX[name](as_they_are).predict_surv(outputs).numpy()[:, 1:]  # without time point 0
    np.testing.assert_allclose(survival(name, outputs), expected, atol=1e-6)


def test_cox_survival_is_what_pycox_makes_of_the_same_outputs_and_baseline() -> None:
    outputs = torch.tensor([[-1.0], [0.3], [2.0]])
    hazards = np.array([0.1, 0.0, 0.3, 0.2, 0.05, 0.4])
    head = build_head(HeadName.COX, 3, K, DeepHitConfig())
    assert isinstance(head, Cox)
    head.baseline.copy_(torch.from_numpy(hazards))
    expected = np.exp(-np.exp(outputs.numpy()) * hazards.cumsum())
    found = 1 - head.logits(outputs).softmax(dim=1).cumsum(dim=1)[:, :-1].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", list(HeadName))
@pytest.mark.parametrize("size", [0.0, 40.0, -40.0, 1000.0, -1000.0])
def test_mass_is_finite_and_sums_to_one_whatever_the_outputs(name: HeadName, size: float) -> None:
    head = build_head(name, 3, K, DeepHitConfig())
    pmf = head.logits(torch.full((2, head.outputs(K)), size)).double().softmax(dim=1)
    assert pmf.shape == (2, K + 1)
    assert torch.isfinite(pmf).all()
    torch.testing.assert_close(pmf.sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_cox_without_a_baseline_orders_patients_by_their_hazard() -> None:
    incidence = 1 - survival(HeadName.COX, torch.tensor([[-1.0], [0.0], [1.0]]))
    assert (np.diff(incidence, axis=0) > 0).all()
    assert (np.diff(incidence, axis=1) > 0).all()
