"""Kaplan-Meier worked by hand, and predictions that come true."""

import numpy as np
import pytest

from survnode.train.measure.calibration import calibration, kaplan_meier


def test_kaplan_meier_worked_by_hand() -> None:
    time, event = np.array([2.0, 3.0, 3.0, 5.0, 8.0, 9.0]), np.array([True, False, True, True, False, True])
    # Deaths: 1 of 6 at 2, 1 of 5 at 3, 1 of 3 at 5; at 9 the last one.
    assert kaplan_meier(time, event, 1.9) == 1.0
    assert kaplan_meier(time, event, 4.0) == pytest.approx(5 / 6 * 4 / 5)
    assert kaplan_meier(time, event, 5.0) == pytest.approx(5 / 6 * 4 / 5 * 2 / 3)
    assert kaplan_meier(time, event, 24.0) == 0.0


def test_true_probabilities_are_calibrated_under_censoring() -> None:
    rng = np.random.default_rng(0)
    hazard = rng.uniform(0.005, 0.1, 20_000)
    death, leaving = rng.exponential(1 / hazard), rng.exponential(40, 20_000)
    groups = calibration(np.exp(-24 * hazard), np.minimum(death, leaving), death <= leaving, 24, 5)
    assert [group.patients for group in groups] == [4000] * 5
    assert [group.predicted for group in groups] == sorted(group.predicted for group in groups)
    for group in groups:
        assert group.observed == pytest.approx(group.predicted, abs=0.03)
