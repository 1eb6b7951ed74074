"""Every score against tables worked by hand, scikit-survival, lifelines and pycox; its weights against redrawing."""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # its stubs are a separate package
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import concordance_index
from pycox.evaluation import EvalSurv
from sksurv.metrics import (
    brier_score,
    concordance_index_censored,
    concordance_index_ipcw,
    cumulative_dynamic_auc,
    integrated_brier_score,
)
from sksurv.nonparametric import CensoringDistributionEstimator
from sksurv.util import Surv

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.calibration import calibration_line, d_calibration
from survnode.train.measure.concordance import compare_constant
from survnode.train.measure.resampling import (
    bootstrap_weights,
    censoring_steps,
    cohort_itself,
    interval,
    kaplan_meier_steps,
)
from survnode.train.measure.scores import auc, brier, harrell, integrated_brier, known_at, pair_concordance, uno

# Four patients: A dies at 2, B is censored at 4, C dies at 6, D is censored at 8.
TIME = np.array([2.0, 4.0, 6.0, 8.0])
EVENT = np.array([True, False, True, False])
RISK = np.array([0.8, 0.3, 0.4, 0.5])
ONCE = cohort_itself(4)

Array = np.ndarray


def cohort(seed: int, size: int = 150) -> tuple[Array, Array, Array]:
    """Times, events and incidences by months 1..24 of patients whose prediction is somewhat right; some risks tie."""
    rng = np.random.default_rng(seed)
    hazard = rng.uniform(0.005, 0.1, size)
    death, leaving = rng.exponential(1 / hazard), rng.exponential(60, size)
    believed = np.round(hazard * rng.lognormal(0, 0.4, size), 2) + 0.002
    cif = 1 - np.exp(-believed[:, None] * np.arange(1, 25))
    return np.minimum(death, leaving), death <= leaving, cif


def test_scores_worked_by_hand() -> None:
    # Nobody is censored before 4, a third of the rest then: C and D count 3/2 for B.
    assert known_at(TIME, EVENT, ONCE, 5)[0] == pytest.approx([1, 0, 1.5, 1.5])
    # A wins its three pairs, C loses its one against D.
    assert harrell(RISK, TIME, EVENT, ONCE)[0] == pytest.approx(3 / 4)
    assert uno(RISK, TIME, EVENT, ONCE, until_months=7)[0] == pytest.approx(3 / (3 + 1.5**2))
    # By month 7 A and C died, D lives: A wins with weight 1, C loses with weight 1.5.
    assert auc(RISK, TIME, EVENT, ONCE, month=7)[0] == pytest.approx(1 / 2.5)
    expected = (0.2**2 + 1.5 * 0.4**2 + 1.5 * 0.5**2) / 4
    assert brier(RISK, TIME, EVENT, ONCE, month=5)[0] == pytest.approx(expected)


def test_integrated_brier_is_the_trapezoid_over_whole_months() -> None:
    cif = np.array([[0.1, 0.5, 0.6]] * 4)
    one, two, three = (brier(cif[:, k - 1], TIME, EVENT, ONCE, month=k)[0] for k in (1, 2, 3))
    assert integrated_brier(cif, TIME, EVENT, ONCE)[0] == pytest.approx((one / 2 + two + three / 2) / 2)
    assert integrated_brier(cif[:, :1], TIME, EVENT, ONCE)[0] == pytest.approx(one)


def test_patient_followed_to_the_month_is_known_to_be_alive() -> None:
    time, event = np.array([3.0, 24.0, 24.0]), np.array([True, False, False])
    assert auc(np.array([0.9, 0.1, 0.2]), time, event, cohort_itself(3), month=24)[0] == 1
    assert known_at(time, event, cohort_itself(3), 24)[0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_those_of_scikit_survival(seed: int) -> None:
    time, event, cif = cohort(seed)
    outcome, once, risk = Surv.from_arrays(event, time), cohort_itself(len(time)), cif[:, -1]
    expected = concordance_index_censored(event, time, risk)[0]
    assert harrell(risk, time, event, once)[0] == pytest.approx(expected, abs=1e-12)
    expected = concordance_index_ipcw(outcome, outcome, risk, tau=24.0)[0]
    assert uno(risk, time, event, once, until_months=24)[0] == pytest.approx(expected, abs=1e-12)
    months = np.array([6.0, 12.0, 18.0, 24.0])
    expected = cumulative_dynamic_auc(outcome, outcome, cif[:, [5, 11, 17, 23]], months)[0]
    found = [auc(cif[:, int(month) - 1], time, event, once, month=month)[0] for month in months]
    assert found == pytest.approx(expected, abs=1e-12)
    every = np.arange(1.0, 25)
    expected = brier_score(outcome, outcome, 1 - cif, every)[1]
    found = [brier(cif[:, int(month) - 1], time, event, once, month=month)[0] for month in every]
    assert found == pytest.approx(expected, abs=1e-12)
    expected = integrated_brier_score(outcome, outcome, 1 - cif, every)
    assert integrated_brier(cif, time, event, once)[0] == pytest.approx(expected, abs=1e-12)


def test_scores_equal_those_of_lifelines_and_pycox() -> None:
    time, event, cif = cohort(5)
    once = cohort_itself(len(time))
    assert harrell(cif[:, -1], time, event, once)[0] == pytest.approx(concordance_index(time, -cif[:, -1], event))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        survival = pd.DataFrame(1 - cif.T, index=np.arange(1.0, 25))
        theirs = EvalSurv(survival, time, event.astype(np.int64), censor_surv="km").brier_score(np.array([6.0, 24.0]))
    found = [brier(cif[:, month - 1], time, event, once, month=month)[0] for month in (6, 24)]
    assert found == pytest.approx(theirs.to_numpy(), abs=1e-6)


def test_shares_left_equal_those_of_lifelines_and_scikit_survival_with_ties() -> None:
    rng = np.random.default_rng(1)
    time, event = rng.integers(1, 15, 80).astype(float), rng.random(80) < 0.6
    once, at = cohort_itself(80), np.arange(1.0, 14)
    theirs = KaplanMeierFitter().fit(time, event).survival_function_at_times(at)
    assert kaplan_meier_steps(time, event, once).at(at)[0] == pytest.approx(theirs.to_numpy(), abs=1e-12)
    estimator = CensoringDistributionEstimator().fit(Surv.from_arrays(event, time))
    steps = censoring_steps(time, event, once)
    assert steps.at(at)[0] == pytest.approx(estimator.predict_proba(at), abs=1e-12)
    assert steps.before(at)[0] == pytest.approx(estimator.predict_proba(at - 0.5), abs=1e-12)


MEASURES: dict[str, Callable[[Array, Array, Array, Array], Array]] = {
    "harrell": lambda cif, time, event, weights: harrell(cif[:, -1], time, event, weights),
    "uno": lambda cif, time, event, weights: uno(cif[:, -1], time, event, weights, until_months=24),
    "auc": lambda cif, time, event, weights: auc(cif[:, 11], time, event, weights, month=12),
    "brier": lambda cif, time, event, weights: brier(cif[:, 11], time, event, weights, month=12),
    "integrated_brier": integrated_brier,
    "slope": lambda cif, time, event, weights: calibration_line(cif[:, -1], time, event, weights, month=24)[1],
    "d_calibration": d_calibration,
    "survival": lambda cif, time, event, weights: kaplan_meier_steps(time, event, weights).before(20.0),  # noqa: ARG005
    "ctd": lambda cif, time, event, weights: pair_concordance(
        compare_constant(TimeGrid(), cif[:, -1], time, event), weights
    ),
}


@pytest.mark.parametrize("name", MEASURES)
def test_weights_equal_drawing_the_patients(name: str) -> None:
    time, event, cif = cohort(3, size=60)
    time = np.round(time, 1)  # with ties
    weights = bootstrap_weights(60, np.random.default_rng(0), 8)
    found = MEASURES[name](cif, time, event, weights)
    for row, counts in enumerate(weights.astype(np.int64)):
        drawn = np.repeat(np.arange(60), counts)
        alone = MEASURES[name](cif[drawn], time[drawn], event[drawn], cohort_itself(60))[0]
        assert found[row] == pytest.approx(alone, abs=1e-9)


def test_interval_covers_the_truth_in_about_95_of_100_cohorts() -> None:
    truth = brier(*_incidence(cohort(99, 60_000)), cohort_itself(60_000), month=12)[0]
    covered = 0
    for seed in range(100):
        time, event, cif = cohort(1000 + seed, 120)
        weights = bootstrap_weights(120, np.random.default_rng(seed), 300)
        low, high = interval(partial(brier, cif[:, 11], time, event, month=12)(weights))
        covered += low <= truth <= high
    assert 88 <= covered <= 100


def _incidence(drawn: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    time, event, cif = drawn
    return cif[:, 11], time, event


def test_measure_without_a_case_is_not_defined() -> None:
    nobody_dies = np.zeros(4, np.bool_)
    assert np.isnan(auc(RISK, TIME, nobody_dies, ONCE, month=7)[0])
    assert np.isnan(harrell(RISK, TIME, nobody_dies, ONCE)[0])
    assert np.isnan(uno(RISK, TIME, nobody_dies, ONCE, until_months=7)[0])
    assert all(np.isnan(interval(np.array([np.nan]))))
