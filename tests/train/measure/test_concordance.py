"""The concordance against pycox's, against tables worked by hand, and its interval."""

import warnings

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # its stubs are a separate package
import pytest
from pycox.evaluation import EvalSurv

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.concordance import Ties, compare, compare_constant, compare_on_grid, concordance_td
from survnode.train.measure.resampling import bootstrap_weights, interval
from survnode.train.measure.scores import pair_concordance

GRID = TimeGrid(4)


def cohort(seed: int, size: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Incidences (with ties), times (with ties) and events of random patients, all before month 4."""
    rng = np.random.default_rng(seed)
    pmf = rng.dirichlet(np.ones(5), size=size).round(1)
    time = rng.choice([rng.uniform(0, 4, size), rng.integers(0, 4, size).astype(float)][seed % 2], size)
    return np.cumsum(pmf, axis=1)[:, :4], time, rng.random(size) < 0.6


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", [Ties.ANTOLINI, Ties.ADJUSTED])
def test_concordance_equals_pycox(seed: int, ties: Ties) -> None:
    cif, time, event = cohort(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        survival = pd.DataFrame(1 - cif.T, index=np.arange(4.0))
        expected = EvalSurv(survival, time, event.astype(np.int64)).concordance_td(ties.value)
    assert concordance_td(GRID, 1 - (1 - cif), time, event, ties) == pytest.approx(expected, abs=1e-12)


def test_table_worked_by_hand() -> None:
    # Rows: incidence at the ends of months 1..4; A dies in month 0.5, B in 1.5, C is censored at 2.2, D lives on.
    cif = np.array([[0.4, 0.5, 0.6, 0.7], [0.4, 0.6, 0.7, 0.8], [0.5, 0.6, 0.6, 0.6], [0.1, 0.2, 0.3, 0.9]])
    time, event = np.array([0.5, 1.5, 2.2, 9.0]), np.array([True, True, False, True])
    # A at month 1: against B 0.4 = 0.4 (half), C 0.4 < 0.5 (0), D (1). B at month 2: C 0.6 = 0.6 (half), D (1).
    assert concordance_td(GRID, cif, time, event) == pytest.approx(3 / 5)
    assert concordance_td(GRID, cif, time, event, Ties.ANTOLINI) == pytest.approx(2 / 5)


def test_death_after_the_horizon_is_survival_to_it() -> None:
    cif = np.array([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.5]])
    late = compare_on_grid(GRID, cif, np.array([4.0, 7.0]), np.array([True, True]))
    assert not late.comparable.any()
    assert np.isnan(late.concordance)
    early = compare_on_grid(GRID, cif, np.array([3.9, 7.0]), np.array([True, True]))
    assert early.concordance == 0.0


def test_patient_censored_at_the_time_of_a_death_lived_longer() -> None:
    cif = np.array([[0.5], [0.2]])
    columns = np.array([0, 0])
    pairs = compare(cif, columns, np.array([1.0, 1.0]), np.array([True, False]))
    assert pairs.comparable.tolist() == [[False, True], [False, False]]
    assert pairs.concordance == 1.0


def test_perfect_risk_scores_one_its_opposite_zero_and_a_constant_half() -> None:
    time = np.linspace(0.1, 3.9, 20)
    event = np.ones(20, dtype=np.bool_)
    assert compare_constant(GRID, -time, time, event).concordance == 1.0
    assert compare_constant(GRID, time, time, event).concordance == 0.0
    assert compare_constant(GRID, np.zeros(20), time, event).concordance == 0.5


def test_bootstrap_by_weights_equals_bootstrap_by_drawing_patients() -> None:
    cif, time, event = cohort(2, size=30)
    pairs = compare_on_grid(GRID, cif, time, event)
    drawn = np.random.default_rng(1).integers(0, 30, size=(2000, 30))
    values = [concordance_td(GRID, cif[rows], time[rows], event[rows]) for rows in drawn]
    weights = bootstrap_weights(30, np.random.default_rng(2), 2000)
    assert interval(pair_concordance(pairs, weights)) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.015)


def test_interval_holds_the_concordance_and_is_not_defined_where_all_are_censored() -> None:
    cif, time, event = cohort(0)
    weights = bootstrap_weights(len(event), np.random.default_rng(3))
    pairs = compare_on_grid(GRID, cif, time, event)
    low, high = interval(pair_concordance(pairs, weights))
    assert low < pairs.concordance < high
    censored = compare_on_grid(GRID, cif, time, np.zeros_like(event))
    assert np.isnan(interval(pair_concordance(censored, weights))).all()
