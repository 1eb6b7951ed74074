import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from survnode.train.measure.resampling import (
    bootstrap_weights,
    censoring_steps,
    cohort_itself,
    interval,
    kaplan_meier_steps,
    ratio,
)

TIME = np.array([2.0, 2.0, 5.0, 7.0, 7.0, 11.0])
EVENT = np.array([True, False, True, False, True, False])


def test_a_resample_is_as_many_draws_with_replacement() -> None:
    weights = bootstrap_weights(40, np.random.default_rng(1), resamples=500)
    assert weights.shape == (500, 40)
    assert (weights.sum(axis=1) == 40).all()
    assert weights.mean() == 1
    assert weights.var() == pytest.approx(39 / 40, rel=0.05)  # binomial(40, 1/40)
    assert (cohort_itself(3) == [[1, 1, 1]]).all()


def test_an_interval_leaves_out_what_is_not_defined() -> None:
    values = np.append(np.linspace(0, 1, 1001), [np.nan, np.inf])
    assert interval(values) == pytest.approx((0.025, 0.975))
    assert interval(values, level=0.5) == pytest.approx((0.25, 0.75))
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_a_ratio_to_nothing_is_not_defined() -> None:
    np.testing.assert_array_equal(ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])), [0.5, np.nan])


def test_survival_is_kaplan_and_meiers() -> None:
    steps = kaplan_meier_steps(TIME, EVENT, cohort_itself(6))
    fitted = KaplanMeierFitter().fit(TIME, EVENT).survival_function_at_times(steps.time)
    np.testing.assert_allclose(steps.survival[0], fitted)
    assert steps.at(2.0)[0, 0] == pytest.approx(5 / 6)
    assert steps.before(2.0)[0, 0] == 1
    assert steps.at(np.array([0.0, 6.0, 99.0]))[0].tolist() == pytest.approx([1, 5 / 6 * 3 / 4, 5 / 6 * 3 / 4 * 2 / 3])


def test_who_counts_twice_counts_as_two_and_who_counts_not_at_all_is_not_there() -> None:
    weights = np.array([[2.0, 0, 1, 1, 0, 2]])
    rows = [0, 0, 2, 3, 5, 5]
    for steps_of in (kaplan_meier_steps, censoring_steps):
        drawn = steps_of(TIME[rows], EVENT[rows], cohort_itself(6))
        weighted = steps_of(TIME, EVENT, weights)
        np.testing.assert_allclose(weighted.at(np.arange(12.0)), drawn.at(np.arange(12.0)))


def test_whoever_dies_at_a_censoring_was_not_at_risk_of_it() -> None:
    """At 2, of 6, one dies and one of 5 is censored; at 7, of 3, one dies and one of 2; at 11 the last."""
    steps = censoring_steps(TIME, EVENT, cohort_itself(6))
    assert steps.survival[0].tolist() == pytest.approx([4 / 5, 4 / 5, 4 / 5 / 2, 0])
