"""Kaplan-Meier worked by hand, and predictions that come true."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from survnode.train.measure.calibration import (
    calibration_line,
    d_calibration,
    d_calibration_test,
)
from survnode.train.measure.resampling import cohort_itself
from survnode.train.measure.scores import known_at


def test_line_equals_a_weighted_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    hazard = rng.uniform(0.005, 0.1, 300)
    death, leaving = rng.exponential(1 / hazard), rng.exponential(60, 300)
    time, event = np.minimum(death, leaving), death <= leaving
    incidence = np.clip(1 - np.exp(-24 * hazard) + rng.normal(0, 0.1, 300), 0.02, 0.98)
    intercept, slope = calibration_line(incidence, time, event, cohort_itself(300), month=24)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    weights = known_at(time, event, cohort_itself(300), 24)[0]
    model.fit(np.log(incidence / (1 - incidence))[:, None], event & (time < 24), weights)
    assert (intercept[0], slope[0]) == pytest.approx((model.intercept_[0], model.coef_[0, 0]), abs=1e-5)


def test_line_of_true_probabilities_is_the_diagonal_and_of_extreme_ones_flatter() -> None:
    rng = np.random.default_rng(2)
    odds = rng.normal(0, 1.5, 50_000)
    died = rng.random(50_000) < 1 / (1 + np.exp(-odds))
    time, event = np.where(died, 5.0, 30.0), died
    true, extreme = (1 / (1 + np.exp(-factor * odds)) for factor in (1, 2))
    once = cohort_itself(50_000)
    assert np.ravel(calibration_line(true, time, event, once, month=24)) == pytest.approx([0, 1], abs=0.03)
    assert calibration_line(extreme, time, event, once, month=24)[1] == pytest.approx([0.5], abs=0.02)


@pytest.mark.parametrize("event", [False, True])
def test_line_without_a_solution_is_not_defined(event: bool) -> None:
    line = calibration_line(np.array([0.2, 0.3, 0.4]), np.full(3, 5.0), np.full(3, event), cohort_itself(3), month=4)
    assert np.isnan(line).all()


def test_shares_of_d_calibration_worked_by_hand() -> None:
    cif = np.array([[0.25, 0.5]] * 4)
    time, event = np.array([1.0, 1.5, 1.0, 9.0]), np.array([True, True, False, True])
    # Deaths at survival 0.75 and 0.625: above. Censored at 0.75: 2/3 below, 1/3 above. Outlives 0.5: below.
    shares = d_calibration(cif, time, event, cohort_itself(4), bins=2)[0]
    assert shares == pytest.approx([(2 / 3 + 1) / 4, (2 + 1 / 3) / 4])
    statistic, p = d_calibration_test(shares, 4)
    assert statistic == pytest.approx(2 * (1 / 3) ** 2 / 2)
    assert 0.7 < p < 0.8


def test_true_curves_are_d_calibrated_and_others_are_not() -> None:
    rng = np.random.default_rng(3)
    hazard = rng.uniform(0.005, 0.1, 4000)
    death, leaving = rng.exponential(1 / hazard), rng.exponential(60, 4000)
    time, event, once = np.minimum(death, leaving), death <= leaving, cohort_itself(4000)
    for factor, calibrated in ((1.0, True), (1.5, False)):
        cif = 1 - np.exp(-factor * hazard[:, None] * np.arange(1, 25))
        _, p = d_calibration_test(d_calibration(cif, time, event, once)[0], 4000)
        assert (p > 0.01) is calibrated
