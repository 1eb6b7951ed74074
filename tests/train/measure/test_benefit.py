"""Net benefit is deaths found less weighted false alarms, and knowing nothing is worth no more than all or nobody."""

import numpy as np
import pytest

from survnode.train.measure.benefit import THRESHOLDS, net_benefits


def test_net_benefit_is_that_of_a_count_by_hand() -> None:
    risk = np.array([0.9, 0.8, 0.3, 0.2])  # at 0.5 one acts on two: one dies, one lives
    time, event = np.array([5.0, 30.0, 12.0, 40.0]), np.array([True, False, True, False])
    curve = net_benefits(risk[:, None] * np.ones(24), time, event, resamples=10)
    at_half = curve[THRESHOLDS.index(0.5)]
    assert at_half.model == pytest.approx((1 - 1) / 4)
    assert at_half.everybody == pytest.approx((2 - 2) / 4)
    at_quarter = curve[THRESHOLDS.index(0.25)]  # on three: two die
    assert at_quarter.model == pytest.approx((2 - 1 / 3) / 4)
    assert at_quarter.everybody == pytest.approx((2 - 2 / 3) / 4)


def test_true_model_is_worth_at_least_as_much_as_all_or_nobody() -> None:
    rng = np.random.default_rng(0)
    hazard = rng.uniform(0.002, 0.15, 2000)
    death, leaving = rng.exponential(1 / hazard), rng.exponential(60, 2000)
    cif = 1 - np.exp(-hazard[:, None] * np.arange(1, 25))
    curve = net_benefits(cif, np.minimum(death, leaving), death <= leaving, resamples=50)
    for point in curve:
        assert point.low <= point.model <= point.high
        assert point.high >= max(0, point.everybody)
    assert curve[9].model > max(0, curve[9].everybody) + 0.02
