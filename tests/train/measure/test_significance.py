"""Tests of chance against the paper's figures, brute force, lifelines, scikit-survival and SciPy."""

import numpy as np
import pytest
from lifelines.statistics import multivariate_logrank_test
from scipy import stats
from sksurv.compare import compare_survival
from sksurv.util import Surv

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.concordance import concordance_td
from survnode.train.measure.significance import log_rank, permutation_test, risk_groups, wilcoxon_signed_rank

GRID = TimeGrid(24)


def cohort(seed: int, size: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times, events, and the incidences of two models: one sees the hazard through noise, the other through more."""
    rng = np.random.default_rng(seed)
    hazard = rng.uniform(0.005, 0.1, size)
    death, leaving = rng.exponential(1 / hazard), rng.exponential(60, size)
    first, second = (hazard * rng.lognormal(0, spread, size) for spread in (0.2, noise))
    cif = [1 - np.exp(-one[:, None] * np.arange(1, 25)) for one in (first, second)]
    return np.minimum(death, leaving), death <= leaving, cif[0], cif[1]


def test_six_positive_differences_give_the_papers_figures() -> None:
    found = wilcoxon_signed_rank(np.array([0.02, 0.05, 0.09, 0.08, 0.11, 0.1]))
    assert (found.n, found.statistic, found.p) == (6, 0, 0.03125)
    assert found.z == pytest.approx(-2.2014, abs=5e-5)
    assert found.r == pytest.approx(0.899, abs=5e-4)


@pytest.mark.parametrize("decimals", [12, 1])
def test_signed_rank_equals_scipy_with_and_without_ties(decimals: int) -> None:
    differences = np.round(np.random.default_rng(0).normal(0.2, 0.5, 30), decimals)
    found = wilcoxon_signed_rank(differences)
    theirs = stats.wilcoxon(differences, method="approx", correction=False)
    assert found.statistic == theirs.statistic
    assert 2 * stats.norm.sf(abs(found.z)) == pytest.approx(theirs.pvalue)
    assert found.n == np.count_nonzero(differences)


def test_no_difference_at_all_is_not_significant() -> None:
    assert wilcoxon_signed_rank(np.zeros(5)).p == 1


@pytest.mark.parametrize("with_folds", [False, True])
def test_permutations_equal_swapping_the_predictions(with_folds: bool) -> None:
    time, event, first, second = cohort(1, 40, 1.0)
    first[5], second[7] = second[5], first[7]  # some equal predictions
    folds = np.arange(40) % 3 if with_folds else np.zeros(40, np.int64)

    def difference(a: np.ndarray, b: np.ndarray) -> float:
        within = [folds == number for number in np.unique(folds)]
        return float(
            np.mean(
                [
                    concordance_td(GRID, a[rows], time[rows], event[rows])
                    - concordance_td(GRID, b[rows], time[rows], event[rows])
                    for rows in within
                ]
            )
        )

    found = permutation_test(
        first, second, time, event, np.random.default_rng(3), folds=folds if with_folds else None, permutations=300
    )
    observed = difference(first, second)
    swaps = np.random.default_rng(3).integers(0, 2, size=(300, 40))[:, :, None]
    drawn = [difference(np.where(swap, second, first), np.where(swap, first, second)) for swap in swaps]
    count = sum(abs(one) >= abs(observed) - 1e-12 for one in drawn)
    assert found.difference == pytest.approx(observed)
    assert found.first - found.second == pytest.approx(observed)
    assert found.p == (1 + count) / 301


def test_better_model_is_told_from_a_worse_one_and_not_from_itself() -> None:
    time, event, first, second = cohort(2, 300, 3.0)
    rng = np.random.default_rng(0)
    assert permutation_test(first, second, time, event, rng).p < 0.001
    assert permutation_test(first, first, time, event, rng).p == 1


def test_p_is_uniform_between_equal_models() -> None:
    ps = []
    for seed in range(200):
        time, event, first, second = cohort(100 + seed, 60, 0.2)
        ps.append(permutation_test(first, second, time, event, np.random.default_rng(seed), permutations=400).p)
    assert stats.kstest(ps, "uniform").pvalue > 0.01


@pytest.mark.parametrize("groups", [2, 3])
def test_log_rank_equals_lifelines_and_scikit_survival(groups: int) -> None:
    time, event, first, _ = cohort(4, 120, 1.0)
    time = np.ceil(time)  # with ties
    group = risk_groups(first[:, -1], groups)
    statistic, p = log_rank(time, event, group)
    lifelines = multivariate_logrank_test(time, group, event)
    assert (statistic, p) == pytest.approx((lifelines.test_statistic, lifelines.p_value), rel=1e-8)
    assert (statistic, p) == pytest.approx(compare_survival(Surv.from_arrays(event, time), group), rel=1e-8)


def test_log_rank_without_a_death_or_with_one_group_says_nothing() -> None:
    time = np.array([1.0, 2.0, 3.0])
    assert log_rank(time, np.zeros(3, np.bool_), np.array([0, 1, 1])) == (0, 1)


def test_risk_groups_are_of_equal_size_and_lowest_first() -> None:
    assert risk_groups(np.array([0.9, 0.1, 0.5, 0.2, 0.8, 0.7]), 3).tolist() == [2, 0, 1, 0, 2, 1]
