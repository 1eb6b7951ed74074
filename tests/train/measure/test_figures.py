"""Figures of a cross-validation are computed within folds, and on noise the leading one says nothing."""

import numpy as np
import pytest

from survnode.train.measure.figures import FEWEST_PAIRS, measures_of
from survnode.train.measure.resampling import bootstrap_weights, cohort_itself, interval
from survnode.train.measure.scores import auc, harrell

from .nothing import of_noise

COHORTS, RESAMPLES = 100, 200


def test_on_cohorts_of_noise_the_mean_of_the_folds_is_a_half_and_its_interval_says_so() -> None:
    values, holds = [], 0
    for seed in range(COHORTS):
        drawn = of_noise(seed)
        leading = measures_of(drawn.time, drawn.event, drawn.cif, drawn.folds)["ctd_mean_of_folds"]
        values.append(leading(cohort_itself(len(drawn.event)))[0])
        low, high = interval(leading(bootstrap_weights(len(drawn.event), np.random.default_rng(seed), RESAMPLES)))
        holds += low <= 0.5 <= high
    assert np.mean(values) == pytest.approx(0.5, abs=0.01)
    assert 90 <= holds <= 98


def test_curves_of_folds_on_other_scales_do_not_move_what_is_computed_within_them() -> None:
    drawn = of_noise(1, effect=1.0)
    shifted = np.clip(drawn.cif + 0.05 * drawn.folds[:, None], 0, 1)
    itself = cohort_itself(len(drawn.event))
    before, after = (measures_of(drawn.time, drawn.event, cif, drawn.folds) for cif in (drawn.cif, shifted))
    for name in ("ctd_mean_of_folds", "harrell", "uno", "auc_24"):
        assert after[name](itself) == pytest.approx(before[name](itself), abs=0.02)
    assert abs(after["ctd"](itself) - before["ctd"](itself)) > 0.02


def test_figure_within_folds_is_the_mean_of_each_fold_by_itself() -> None:
    drawn = of_noise(2)
    event = np.ones_like(drawn.event)  # nobody is censored: then a fold by itself has the same weights
    measures = measures_of(drawn.time, event, drawn.cif, drawn.folds)
    by_hand: dict[str, list[float]] = {"harrell": [], "auc_24": []}
    for number in np.unique(drawn.folds):
        rows = drawn.folds == number
        of_fold = drawn.time[rows], event[rows], cohort_itself(int(rows.sum()))
        by_hand["harrell"].append(harrell(drawn.cif[rows, -1], *of_fold)[0])
        by_hand["auc_24"].append(auc(drawn.cif[rows, -1], *of_fold, month=24)[0])
    for name, values in by_hand.items():
        assert measures[name](cohort_itself(len(event)))[0] == pytest.approx(np.mean(values))


@pytest.mark.parametrize(("patients", "defined"), [(4, False), (5, True)])
def test_fewer_than_ten_pairs_are_no_concordance(patients: int, defined: bool) -> None:
    time, event = np.arange(1.0, patients + 1), np.ones(patients, np.bool_)  # 6 pairs of 4, 10 of 5
    cif = np.linspace(0.9, 0.1, patients)[:, None] * np.linspace(0.1, 1, 24)
    measures = measures_of(time, event, cif, np.zeros(patients, np.int64))
    assert FEWEST_PAIRS == 10
    for name in ("ctd", "ctd_mean_of_folds", "ctd_antolini", "harrell", "uno"):
        assert np.isfinite(measures[name](cohort_itself(patients))[0]) == defined
