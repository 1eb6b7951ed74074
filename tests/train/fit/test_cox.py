"""Ridge Cox agrees with scikit-survival's, whose code is not in the product."""

import numpy as np
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from survnode.train.fit.cox import fit_cox

RNG = np.random.default_rng(0)


def patients(count: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = RNG.normal(size=(count, width)) * RNG.uniform(0.1, 5, width) + 3
    risk = (values[:, 0] - 3) / values[:, 0].std()
    time, leaving = RNG.exponential(20 * np.exp(-risk)), RNG.exponential(40, count)
    return values, np.minimum(time, leaving), time <= leaving


@pytest.mark.parametrize(("width", "ridge"), [(3, 1e-4), (20, 10.0), (300, 100.0)])
def test_weights_and_curves_are_scikit_survivals(width: int, ridge: float) -> None:
    values, time, event = patients(120, width)
    train, test = slice(0, 80), slice(80, None)
    ours = fit_cox(values[train], time[train], event[train], ridge)
    standard = (values - values[train].mean(axis=0)) / values[train].std(axis=0)
    theirs = CoxPHSurvivalAnalysis(alpha=ridge).fit(standard[train], Surv.from_arrays(event[train], time[train]))
    assert ours.weights == pytest.approx(theirs.coef_, abs=2e-4)
    scores = [
        concordance_index_censored(event[test], time[test], risk)[0]
        for risk in (ours.log_hazard(values[test]), theirs.predict(standard[test]))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.01)
    months = np.arange(1, 13)
    curves = theirs.predict_survival_function(standard[test])
    expected = np.array([[1 - curve(np.nextafter(month, 0)) for month in months] for curve in curves])
    assert ours.cif(values[test], 12) == pytest.approx(expected, abs=1e-3)


def test_a_column_that_says_nothing_weighs_nothing() -> None:
    values, time, event = patients(60, 2)
    values[:, 1] = 7.0
    assert fit_cox(values, time, event, 1.0).weights[1] == 0
